"""The judgement: promised records against arrived ones. Pure, except for reading the two files.

A request that was answered 200 counts. Identical bytes are one request that was sent again (allowed once per kill: one between the answer
and the cursor); the same record in two different requests is a repeat into the spool (never allowed). A record that did not arrive is lost,
unless the agent's own account says how many it could not deliver, and the two figures are the same.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest

from tests.torture.oracle import record

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from opentelemetry.proto.common.v1.common_pb2 import AnyValue


@dataclass
class Verdict:
    """The findings of the oracle."""

    arrived: int = 0
    requests: int = 0
    resent: int = 0
    """Requests that came again, byte for byte."""
    lost: dict[str, list[int]] = field(default_factory=dict)
    repeated: list[tuple[str, int]] = field(default_factory=list)
    invented: list[str] = field(default_factory=list)
    disordered: list[tuple[str, int, int]] = field(default_factory=list)
    """(way, the highest number so far, the lower one that came after it)."""
    resends: int = 0
    """How many requests were allowed to come again."""
    counted: int = 0
    """Records that the agent says were not delivered."""
    violations: list[str] = field(default_factory=list)
    """The findings of the agent's own check of its ledger."""

    @property
    def missing(self) -> int:
        """How many records did not arrive."""
        return sum(map(len, self.lost.values()))

    @property
    def clean(self) -> bool:
        """Whether the promise was kept."""
        return not self.faults

    @property
    def faults(self) -> list[str]:
        """In what the promise was broken, by name."""
        found = {
            "lost": self.missing > self.counted,
            "counted, but arrived": self.missing < self.counted,
            "repeated": self.repeated,
            "invented": self.invented,
            "out of order": self.disordered,
            "sent again without need": self.resent > self.resends,
            "ledger": self.violations,
        }
        return [name for name, is_so in found.items() if is_so]

    def __str__(self) -> str:
        lost = {way: f"{len(numbers)} ({numbers[0]}…{numbers[-1]})" for way, numbers in self.lost.items()}
        parts = [
            f"arrived {self.arrived} in {self.requests} requests, {self.resent} of them sent again",
            f"lost {lost or 0}" + (f", {self.counted} of them counted" if self.counted else ""),
            *(f"{name} {len(found)} {found[:3] or ''}".rstrip() for name, found in self._lists()),
            f"ledger {self.violations or 'balanced'}",
        ]
        return " · ".join(parts)

    def _lists(self) -> list[tuple[str, list[object]]]:
        return [("repeated", self.repeated), ("invented", self.invented), ("out of order", self.disordered)]


def plain(value: AnyValue) -> object:
    """An OTLP AnyValue as a Python value, types kept."""
    kind = value.WhichOneof("value")
    if kind == "array_value":
        return [plain(one) for one in value.array_value.values]
    if kind == "kvlist_value":
        return {pair.key: plain(pair.value) for pair in value.kvlist_value.values}
    return getattr(value, kind) if kind else None


def judge(obligations: Mapping[str, int], accepted: Iterable[bytes], seed: int, *, resends: int = 0, counted: int = 0) -> Verdict:
    """Compare how many records of each way were issued with the (uncompressed) request bodies that were accepted, in order."""
    verdict = Verdict(resends=resends, counted=counted)
    seen: dict[str, Counter[int]] = {way: Counter() for way in obligations}
    last: dict[str, int] = dict.fromkeys(obligations, -1)
    bodies: set[bytes] = set()
    for body in accepted:
        verdict.requests += 1
        digest = hashlib.sha256(body).digest()
        if digest in bodies:
            verdict.resent += 1
            continue
        bodies.add(digest)
        _judge_request(body, seed, verdict, seen, last)
    for way, count in obligations.items():
        if missing := [number for number in range(count) if number not in seen[way]]:
            verdict.lost[way] = missing
        verdict.repeated += [(way, number) for number, times in seen[way].items() if times > 1]
    return verdict


def _judge_request(body: bytes, seed: int, verdict: Verdict, seen: dict[str, Counter[int]], last: dict[str, int]) -> None:
    for resource in ExportLogsServiceRequest.FromString(body).resource_logs:
        for scope in resource.scope_logs:
            for log in scope.log_records:
                verdict.arrived += 1
                attributes = {pair.key: plain(pair.value) for pair in log.attributes}
                _judge_record(plain(log.body), attributes, seed, verdict, seen, last)


def _judge_record(  # noqa: PLR0917 - private, called once
    body: object, attributes: dict[str, object], seed: int, verdict: Verdict, seen: dict[str, Counter[int]], last: dict[str, int]
) -> None:
    way, number = attributes.get("way"), attributes.get("n")
    if not isinstance(way, str) or way not in seen or not isinstance(number, int):
        verdict.invented.append(f"not of the oracle: {body!r:.200}")
        return
    expected = record(seed, way, number)
    kept = {key: attributes.get(key) for key in ("price", "live", "book", "note")}
    if body != expected["event"] or any(kept[key] != expected[key] or type(kept[key]) is not type(expected[key]) for key in kept):
        verdict.invented.append(f"{way} {number} is not as it was written: {body!r:.80} {kept}")
    if number < last[way] and not seen[way][number]:
        verdict.disordered.append((way, last[way], number))
    last[way] = max(last[way], number)
    seen[way][number] += 1
