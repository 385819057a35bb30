"""What several suites use to run the agent and its peers as processes."""
