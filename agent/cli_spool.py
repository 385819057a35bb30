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

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
    from pathlib import Path

    from agent.record import Signal
    from agent.spool.values import SpoolEvent


class Store(Protocol):
    """What the commands need of the spool, wherever it is."""

    def stat(self) -> Mapping[str, object]:
        """Figures."""

    def export(self, signal: Signal, progress: Callable[[int], None]) -> Iterable[bytes]:
        """Rows as lines of JSON."""

    def dead_letters(self, after: int = 0) -> list[Mapping[str, object]]:
        """A page of the list, from behind a number; an empty page is its end."""

    def body(self, number: int) -> bytes:
        """The gzip'd body of a dead letter."""

    def requeue(self, number: int) -> int:
        """Put one back; the new row's number."""

    def discard(self, number: int) -> None:
        """Throw one away."""

    def gc(self, destination: str, *, force: bool) -> int:
        """Forget a destination, by force also if records wait for it; the number of those."""


class Running:
    """The spool of a running agent."""

    def __init__(self, state_dir: Path) -> None:
        self._state_dir = state_dir
        ask_json(state_dir, "/spool/stat")  # raises NotRunningError: the caller then looks into the file

    def stat(self) -> Mapping[str, object]:
        """See `Store`."""
        found = self._get("/spool/stat")
        return found if isinstance(found, dict) else {}

    def export(self, signal: Signal, progress: Callable[[int], None]) -> Iterable[bytes]:
        """See `Store`."""
        for count, line in enumerate(stream_lines(self._state_dir, f"/spool/export?signal={signal}"), 1):
            progress(count)
            yield line.rstrip(b"\n")

    def dead_letters(self, after: int = 0) -> list[Mapping[str, object]]:
        """See `Store`."""
        found = self._get(f"/spool/dead-letters?after={after}")
        return found if isinstance(found, list) else []

    def body(self, number: int) -> bytes:
        """See `Store`."""
        return ask_bytes(self._state_dir, f"/spool/dead-letters/body?id={number}")

    def requeue(self, number: int) -> int:
        """See `Store`."""
        return int(str(self._post("/spool/dead-letters/requeue", id=number)))

    def discard(self, number: int) -> None:
        """See `Store`."""
        self._post("/spool/dead-letters/discard", id=number)

    def gc(self, destination: str, *, force: bool) -> int:
        """See `Store`."""
        return int(str(self._post("/spool/gc", destination=destination, force=int(force))))

    def _get(self, path: str) -> object:
        return ask_json(self._state_dir, path)

    def _post(self, path: str, **query: object) -> object:
        return ask_json(self._state_dir, f"{path}?{urlencode(query)}", method="POST")


class Stopped:
    """The spool of an agent that does not run."""

    def __init__(self, state_dir: Path, configured: Collection[str] | None) -> None:
        from agent.spool.offline import OfflineSpool  # noqa: PLC0415 - not needed when an agent runs

        self._spool = OfflineSpool(state_dir, configured=configured)
        click.get_current_context().call_on_close(self._spool.close)
        for event in self._spool.events:
            click.echo(f"outrider: warning: {_told(event)}", err=True)

    def stat(self) -> Mapping[str, object]:
        """See `Store`."""
        return asdict(self._spool.stat())

    def export(self, signal: Signal, progress: Callable[[int], None]) -> Iterable[bytes]:
        """See `Store`."""
        return (line.encode() for line in self._spool.export(signal, progress))

    def dead_letters(self, after: int = 0) -> list[Mapping[str, object]]:
        """See `Store`."""
        return [letter._asdict() for letter in self._spool.dead_letters(after)]

    def body(self, number: int) -> bytes:
        """See `Store`."""
        return self._spool.dead_letter_body(number)

    def requeue(self, number: int) -> int:
        """See `Store`."""
        return self._spool.requeue(number)

    def discard(self, number: int) -> None:
        """See `Store`."""
        self._spool.discard(number)

    def gc(self, destination: str, *, force: bool) -> int:
        """See `Store`."""
        return self._spool.gc(destination, force=force)


def open_store(state_dir: Path, configured: Callable[[], Collection[str] | None]) -> Store:
    """Return the running agent's spool, or the file; then `configured` says what is configured, None if the file is to say it."""
    try:
        return Running(state_dir)
    except (NotRunningError, OSError):
        return Stopped(state_dir, configured())


def show_stat(store: Store, *, as_json: bool) -> None:
    """Print the figures."""
    found = store.stat()
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


def _told(event: SpoolEvent) -> str:
    """What was found when the file was opened: damage, and what became of it."""
    words = "".join(f" {letter.lower()}" if letter.isupper() else letter for letter in type(event).__name__)
    return f"spool:{words}: " + ", ".join(f"{name.replace('_', ' ')} {value}" for name, value in asdict(event).items())


def write_export(store: Store, signal: Signal) -> None:
    """Write all rows of a signal to standard output; a progress bar on standard error where that is a terminal."""
    rows = int(str(store.stat().get("rows", 0)))
    with click.progressbar(length=rows, label="rows", file=sys.stderr, hidden=not sys.stderr.isatty()) as bar:
        for line in store.export(signal, lambda count: bar.update(count - bar.pos)):
            click.echo(line)


def show_dead_letters(store: Store, *, as_json: bool) -> None:
    """Print the list."""
    found = list(_all_letters(store))
    if as_json:
        _print_json(found)
        return
    for one in found:
        place = f"{one['destination'] or 'spool'} {one['signal']} row {one['seq']}"
        click.echo(f"{one['id']:>6}  {place:<34} {one['records']:>6} records  {one['reason']}")
    if not found:
        click.echo("no dead letters")


def _all_letters(store: Store) -> Iterator[Mapping[str, object]]:
    before, after = -1, 0
    while before < after and (page := store.dead_letters(after)):  # an older agent that runs still knows no pages
        before, after = after, int(str(page[-1]["id"]))
        yield from (one for one in page if int(str(one["id"])) > before)


def write_body(store: Store, number: int) -> None:
    """Write one dead letter's request to standard output, as OTLP/JSON where it is OTLP. OutriderError: there is none, or it is damaged."""
    from agent.spool.export import body_to_json  # noqa: PLC0415 - its protobuf classes cost 4 MiB

    signal = next((str(one["signal"]) for one in store.dead_letters(number - 1) if one["id"] == number), "")
    body = store.body(number)
    try:
        click.echo(body_to_json(signal, body))
    except ValueError as error:
        raise OutriderError(f"dead letter {number} is damaged: {error}") from error


def _print_json(value: object) -> None:
    import orjson  # noqa: PLC0415 - as above

    click.echo(orjson.dumps(value, default=str, option=orjson.OPT_INDENT_2).decode())
