"""Why a line is not quite what it should be: the names under which the parsers count. Each is the value of a `telemetry.Drop` member."""

from __future__ import annotations

from typing import Final

MALFORMED_JSON: Final = "malformed_json"
MALFORMED_LOGFMT: Final = "malformed_logfmt"
MALFORMED_CRI: Final = "malformed_cri"
MALFORMED_DOCKER: Final = "malformed_docker"
MALFORMED_SYSLOG: Final = "malformed_syslog"
INVALID_UTF8: Final = "invalid_utf8"
BAD_TIMESTAMP: Final = "bad_timestamp"
TOO_DEEP: Final = "too_deep"
OVERSIZED: Final = "oversized"
ATTRIBUTE_LIMIT: Final = "attribute_limit"
JOIN_LIMIT: Final = "join_limit"
NUL_GAP: Final = "nul_gap"
