"""Starts the SDK in a program, without a change of the program; events go to each of `SDK_DSNS`."""

import os

if os.environ.get("SDK_DSNS"):
    import sentry_sdk
    from sentry_sdk.transport import Transport, make_transport

    class Each(Transport):
        """Gives each envelope to several transports."""

        def __init__(self, transports):
            super().__init__()
            self.transports = transports

        def capture_envelope(self, envelope):
            """Give it to all of them."""
            for transport in self.transports:
                transport.capture_envelope(envelope)

        def flush(self, timeout, callback=None):
            """Wait for all of them."""
            for transport in self.transports:
                transport.flush(timeout, callback)

        def kill(self):
            """End all of them."""
            for transport in self.transports:
                transport.kill()

    first, *others = os.environ["SDK_DSNS"].split()
    sentry_sdk.init(first, release="side@1", environment="test", shutdown_timeout=60)
    client = sentry_sdk.get_client()
    client.transport = Each([client.transport, *(make_transport({**client.options, "dsn": other}) for other in others)])
