"""Starts the SDK in a program that should report from inside, without a change of the program."""

import os

if os.environ.get("SDK_DSN"):
    import sentry_sdk

    sentry_sdk.init(os.environ["SDK_DSN"], release="side@1", environment="test", shutdown_timeout=20)
