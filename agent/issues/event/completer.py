"""Completes and scrubs events: sentry-sdk, imported for the first of them."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Mapping

    from agent.issues.event.sdk import SdkCompleter
    from agent.record import Value


class Completer(Protocol):
    """Completes and scrubs events."""

    async def complete(self, event: Mapping[str, Value]) -> bytes:
        """The event as JSON. The first one may take long, but does not hold the event loop."""

    def close(self) -> None:
        """Release everything."""


class LazyCompleter:
    """sentry-sdk takes megabytes, and most workloads have no error for days."""

    def __init__(self) -> None:
        self._sdk: SdkCompleter | None = None
        self._loading = asyncio.Lock()

    async def complete(self, event: Mapping[str, Value]) -> bytes:
        """The event as JSON, completed and scrubbed."""
        async with self._loading:
            if self._sdk is None:  # the import takes a third of a second: in a thread, so that the event loop continues
                self._sdk = await asyncio.to_thread(_load)
        return self._sdk.complete(event)

    def close(self) -> None:
        """Close the SDK's client, if there is one."""
        if self._sdk is not None:
            self._sdk.close()


def _load() -> SdkCompleter:
    from agent.issues.event.sdk import SdkCompleter  # noqa: PLC0415 - see above

    return SdkCompleter()
