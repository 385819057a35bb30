"""Judgements over time: whether the workload is well."""
