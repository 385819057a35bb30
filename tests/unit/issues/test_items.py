"""Sentry's other items."""

from __future__ import annotations

import json

from agent.issues.envelope.items import logs
from agent.record import LogRecord, Origin


def test_a_sentry_log_tells_no_local_variables() -> None:
    """The variables of each frame that structlog writes are left out everywhere; the frames are kept."""
    inner = [{"exc_type": "B", "frames": [{"name": "g", "locals": {"b": "hunter2"}}]}]
    stack = {"exc_type": "A", "frames": [{"name": "f", "lineno": 3, "locals": {"a": "hunter2"}}], "exceptions": [inner]}
    record = LogRecord(1, 1, 17, "error", "broke", {"exception": [stack], "locals": "mine"}, Origin("file:a"), 0)
    (told,) = json.loads(logs([record], labels={}).body)["items"]
    assert "hunter2" not in json.dumps(told)
    assert json.loads(told["attributes"]["exception"]["value"])[0]["frames"] == [{"name": "f", "lineno": 3}]
    assert told["attributes"]["locals"]["value"] == "mine"
