"""Accepts every row and sends it nowhere: for measuring the rest."""

from __future__ import annotations

from typing import ClassVar

from agent.component import Accepted, ComponentConfig, Context
from agent.record import Row, Signal


class NullConfig(ComponentConfig):
    """No options."""


class Null:
    """The exporter."""

    Config: ClassVar[type[ComponentConfig]] = NullConfig
    signals: frozenset[Signal] = frozenset({Signal.LOGS})

    def __init__(self, config: NullConfig, context: Context) -> None: ...

    async def export(self, row: Row) -> Accepted:  # noqa: ARG002 - the contract
        """Take it."""
        return Accepted()

    async def close(self) -> None:
        """Nothing is held."""
