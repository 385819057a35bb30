"""When a run began: whatever a process writes of times, it is when it was started."""

from __future__ import annotations

from agent.issues.runs.run import began_ns
from agent.record import LogRecord, Origin


def record(key: str, time_ns: int = 5, stream: str = "", **attributes: object) -> LogRecord:
    """A record that was seen at 1000 ns."""
    return LogRecord(time_ns, 1000, 9, "", "words", attributes, Origin(key, {"log.iostream": stream} if stream else {}), 0)


def test_when_a_run_began():
    """The time in a log line may be a simulated one, and a field in it may say anything."""
    for one, began in (
        (record("child:7:800:stdout", stream="stdout"), 800),
        (record("child:7:800:stderr", stream="stderr", **{"process.began": 3}), 800),
        (record("child:7:exit", **{"process.began": 700}), 700),
        (record("process:boot:7:9", **{"process.began": 600}), 600),
        (record("child:7:exit"), 1000),
        (record("child:7:exit", **{"process.began": "then"}), 1000),
        (record("child:odd", stream="stdout"), 1000),
    ):
        assert began_ns(one) == began
