"""`outrider spool …`: looks into the store, through the running agent if there is one, else into the file itself, under the agent's lock."""

from __future__ import annotations

import sys
from dataclasses import asdict
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final, Protocol
from urllib.parse import urlencode

import click

from agent.errors import OutriderError
from agent.host.control import NotRunningError, ask_bytes, ask_json, stream_lines
from agent.spool.operations import OPERATIONS

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
    from pathlib import Path

    from agent.record import Signal
    from agent.spool.values import SpoolEvent


class Access(Protocol):
    """The spool of a running or of a stopped agent."""

    def stat(self) -> Mapping[str, object]:
        """Return the figures."""

    def export(self, signal: Signal, progress: Callable[[int], None]) -> Iterable[bytes]:
        """Yield rows as lines of JSON; `progress` gets their number so far."""

    def ask(self, name: str, /, **arguments: str) -> object:
        """Do one of the `OPERATIONS`. OutriderError: it is refused."""


class Running:
    """The spool of a running agent."""

    def __init__(self, state_dir: Path) -> None:
        """NotRunningError: no agent listens there."""
        self._state_dir = state_dir
        ask_json(state_dir, "/spool/stat")

    def stat(self) -> Mapping[str, object]:
        """See `Access`."""
        found = ask_json(self._state_dir, "/spool/stat")
        return found if isinstance(found, dict) else {}

    def export(self, signal: Signal, progress: Callable[[int], None]) -> Iterable[bytes]:
        """See `Access`."""
        for count, line in enumerate(stream_lines(self._state_dir, f"/spool/export?signal={signal}"), 1):
            progress(count)
            yield line.rstrip(b"\n")

    def ask(self, name: str, /, **arguments: str) -> object:
        """See `Access`."""
        operation, path = OPERATIONS[name], f"/spool/{name}?{urlencode(arguments)}"
        if operation.gives_bytes:
            return ask_bytes(self._state_dir, path)
        return ask_json(self._state_dir, path, method="POST" if operation.writes else "GET")


class Stopped:
    """The spool of an agent that does not run."""

    def __init__(self, state_dir: Path, configured: Collection[str] | None) -> None:
        from agent.spool.offline import OfflineSpool  # noqa: PLC0415 - not needed when an agent runs

        self._spool = OfflineSpool(state_dir, configured=configured)
        self.ask = self._spool.ask
        click.get_current_context().call_on_close(self._spool.close)
        for event in self._spool.events:
            click.echo(f"outrider: warning: {_described(event)}", err=True)

    def stat(self) -> Mapping[str, object]:
        """See `Access`."""
        return asdict(self._spool.stat())

    def export(self, signal: Signal, progress: Callable[[int], None]) -> Iterable[bytes]:
        """See `Access`."""
        return (line.encode() for line in self._spool.export(signal, progress))


def open_spool(state_dir: Path, configured: Callable[[], Collection[str] | None]) -> Access:
    """Return the running agent's spool, or the file; then `configured` says what is configured, None if the file is to say it."""
    try:
        return Running(state_dir)
    except (NotRunningError, OSError):
        return Stopped(state_dir, configured())


def show_stat(spool: Access, *, as_json: bool) -> None:
    """Print the figures."""
    found = spool.stat()
    if as_json:
        _print_json(found)
        return
    for key, value in found.items():
        for text in _texts(key, value):
            click.echo(f"{key:<14} {text}".rstrip())


_UNKNOWN: Final = {"configured": "unknown"}


def _texts(key: str, value: object) -> list[str]:
    """A figure as a person reads it; of several, each on a line of its own."""
    if isinstance(value, list | tuple):
        return [text for one in value for text in _texts(key, one)]
    if isinstance(value, dict):
        return ["  ".join(f"{name} {one:,}" if isinstance(one, int) else str(one) for name, one in value.items())]
    if isinstance(value, int):
        time = datetime.fromtimestamp(value // 10**9, UTC) if key.endswith("_ns") else None
        return [time.isoformat() if time else f"{value:,}"]
    return [_UNKNOWN.get(key, "") if value is None else str(value)]


def _described(event: SpoolEvent) -> str:
    """The result of opening the file: damage, and what was saved."""
    words = "".join(f" {letter.lower()}" if letter.isupper() else letter for letter in type(event).__name__)
    return f"spool:{words}: " + ", ".join(f"{name.replace('_', ' ')} {value}" for name, value in event._asdict().items())


def write_export(spool: Access, signal: Signal) -> None:
    """Write all rows of a signal to standard output; a progress bar on standard error where that is a terminal."""
    rows = int(str(spool.stat().get("rows", 0)))
    with click.progressbar(length=rows, label="rows", file=sys.stderr, hidden=not sys.stderr.isatty()) as bar:
        for line in spool.export(signal, lambda count: bar.update(count - bar.pos)):
            click.echo(line)


def show_dead_letters(spool: Access, *, as_json: bool) -> None:
    """Print the list."""
    found = list(_all_letters(spool))
    if as_json:
        _print_json(found)
        return
    for one in found:
        place = f"{one['destination'] or 'spool'} {one['signal']} row {one['seq']}"
        click.echo(f"{one['id']:>6}  {place:<34} {one['records']:>6} records  {one['reason']}")
    if not found:
        click.echo("no dead letters")


def _all_letters(spool: Access) -> Iterator[dict[str, object]]:
    before, after = -1, 0
    while before < after and (page := _page(spool, after)):  # an older agent that still runs knows no pages
        before, after = after, int(str(page[-1]["id"]))
        yield from (one for one in page if int(str(one["id"])) > before)


def _page(spool: Access, after: int) -> list[dict[str, object]]:
    found = spool.ask("dead-letters", after=str(after))
    return found if isinstance(found, list) else []


def write_body(spool: Access, number: int) -> None:
    """Write one dead letter's request to standard output, as OTLP/JSON where it is OTLP. OutriderError: there is none, or it is damaged."""
    from agent.spool.export import body_to_json  # noqa: PLC0415 - its protobuf classes cost 4 MiB

    signal = next((str(one["signal"]) for one in _page(spool, number - 1) if one["id"] == number), "")
    body = spool.ask("dead-letters/body", id=str(number))
    try:
        click.echo(body_to_json(signal, body if isinstance(body, bytes) else b""))
    except ValueError as error:
        raise OutriderError(f"dead letter {number} is damaged: {error}") from error


def requeue(spool: Access, number: int) -> None:
    """Put a dead letter back for the destination that refused it."""
    click.echo(f"dead letter {number} is row {spool.ask('dead-letters/requeue', id=str(number))} now")


def discard(spool: Access, number: int) -> None:
    """Delete a dead letter."""
    spool.ask("dead-letters/discard", id=str(number))
    click.echo(f"dead letter {number} is gone")


def forget(spool: Access, destination: str, *, force: bool) -> None:
    """Forget a destination that is not configured."""
    count = int(str(spool.ask("gc", destination=destination, force=str(int(force)))))
    click.echo(f"{destination}: forgotten; {count:,} records that it had not received are counted as evicted")


def _print_json(value: object) -> None:
    import orjson  # noqa: PLC0415 - as above

    click.echo(orjson.dumps(value, default=str, option=orjson.OPT_INDENT_2).decode())
