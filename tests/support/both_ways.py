"""Runs the corpus's programs and records each exception both ways: as sentry-sdk reports it from inside, and as CPython prints it.

both_ways.py PROGRAMS > FILE      a line of JSON for each case: name, event, text
"""

from __future__ import annotations

import json
import os
import sys
import traceback

import sentry_sdk
from sentry_sdk.transport import Transport

events = []


class Collect(Transport):
    """Keeps the events."""

    def capture_envelope(self, envelope):
        """Keep one."""
        events.append(envelope.get_event())


if __name__ == "__main__":  # the cases are called from here, so that each stack goes down to `<module>` as that of an uncaught exception
    sys.path.insert(0, sys.argv[1])
    os.chdir(sys.argv[1])
    out = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    sentry_sdk.init("http://key@localhost/1", transport=Collect(), default_integrations=False, include_local_variables=False)
    from cases import CASES

    for name, case in CASES.items():
        try:
            case()
        except BaseException as error:  # noqa: BLE001 - also SystemExit and KeyboardInterrupt
            sentry_sdk.capture_exception(error)
            text = "".join(traceback.format_exception(type(error), error, error.__traceback__))
            print(json.dumps({"name": name, "event": events.pop(), "text": text}), file=out, flush=True)
