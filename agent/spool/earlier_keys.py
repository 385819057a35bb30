"""The prefixes by which the host still names other owners than the source."""

from __future__ import annotations

from typing import TYPE_CHECKING

from agent.record import Owner

if TYPE_CHECKING:
    from collections.abc import Mapping

PREFIXES = {Owner.INTAKE: "host:ahead", Owner.ISSUES: "host:sentry:"}
DESTINATION = "destination "


def remembered_as(destination: str) -> str:
    """The name under which an exporter's positions are asked for."""
    return f"{DESTINATION}{destination}"


def split(positions: Mapping[str, bytes | None]) -> dict[Owner, dict[str, bytes | None]]:
    """Positions by their owner."""
    found: dict[Owner, dict[str, bytes | None]] = {}
    for key, value in positions.items():
        owner = next((owner for owner, prefix in PREFIXES.items() if key.startswith(prefix)), Owner.SOURCE)
        found.setdefault(owner, {})[key.removeprefix(PREFIXES.get(owner, "")) or "ahead"] = value
    return found


def join(found: Mapping[Owner, Mapping[str, bytes]]) -> dict[str, bytes]:
    """The way back."""
    names = {(Owner.INTAKE, "ahead"): "host:ahead"}
    return {names.get((owner, key), f"{PREFIXES.get(owner, '')}{key}"): value for owner, one in found.items() for key, value in one.items()}
