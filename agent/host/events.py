"""Events of the agent's life and of its configuration, which several modules of the host emit."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from agent.metrics import Kind, Metric
from agent.telemetry import Event, Level

SPOOL: Final = Metric("outrider.spool.events", Kind.COUNTER, "{event}", "What happened to the spool, by event.")
RELOADS: Final = Metric("outrider.config.reloads", Kind.COUNTER, "{reload}", "Reloads of the configuration, by outcome.")


@dataclass(frozen=True, slots=True)
class AgentStarted(Event):
    """The agent is up: everything that is configured runs."""

    name = "agent started"
    version: str
    state_dir: str
    address: str


@dataclass(frozen=True, slots=True)
class AgentStopped(Event):
    """The agent has ended regularly."""

    name = "agent stopped"
    pending: int
    """Records that wait in the spool for the next start."""
    unread_bytes: int = 0
    """Bytes that were written to files and not read."""
    unread_files: int = 0


@dataclass(frozen=True, slots=True)
class AgentStopping(Event):
    """The agent was asked to end."""

    name = "agent stopping"
    cause: str


@dataclass(frozen=True, slots=True)
class SpoolEvent(Event):
    """Something happened to the spool: `salvaged`, `row_damaged`, `commit_failed`, `full`, `room_again`, `evicted`, `ballast_used`."""

    name = "spool"
    level = Level.WARNING
    counter = SPOOL
    labels = ("what",)
    what: str
    detail: str = ""
    count: int = 1


@dataclass(frozen=True, slots=True)
class ConfigReloaded(Event):
    """The configuration was read again and is valid."""

    name = "configuration reloaded"
    counter = RELOADS
    labels = ("outcome",)
    later: str = ""
    """Sections that changed and take effect at the next start only."""
    outcome: str = "accepted"


@dataclass(frozen=True, slots=True)
class ConfigRefused(Event):
    """The new configuration is wrong; the old one stays in force."""

    name = "configuration refused"
    folds = False
    level = Level.ERROR
    counter = RELOADS
    labels = ("outcome",)
    error: str
    outcome: str = "refused"
