"""The status page as HTML, readable without script, style or colour. All data is escaped."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from html import escape
from typing import TYPE_CHECKING, Final

from agent.health import Health
from agent.names import SERVICE_NAME

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from agent.status import DestinationFacts, Figure, NoticeFacts, ProbeFacts, SourceFacts, SpoolFacts, Status

_SIGNS: Final = {Health.READY: "●", Health.DEGRADED: "▲", Health.NOT_READY: "✕"}
_GOOD: Final = frozenset({"ok", "up", "running"})
_MIDDLE: Final = frozenset({"retrying", "unknown", "full", "starting"})

_NUMBER: Final = ' class="number"'
_LONG: Final = ' class="long"'
_TAG: Final = re.compile("<[^>]*>")
_SHORT: Final = 28
"""Characters up to which a cell keeps to one line."""

Cell = str | int
"""Text is shown as it is; a number has its digits grouped and is aligned to the right."""


class Html(str):
    """Markup, which is not escaped."""

    __slots__ = ()


def render(status: Status, *, refresh: int = 0) -> str:
    """Return the page; `refresh` > 0 makes the browser reload it after that many seconds."""
    service = status.resource.get(SERVICE_NAME, "unknown service")
    meta = f'<meta http-equiv="refresh" content="{refresh}">' if refresh else ""
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
{meta}
<title>{escape(str(status.verdict().health))} · {escape(service)} · Outrider</title>
<link rel="stylesheet" href="/static/style.css">
<link rel="icon" href="/static/icon.svg" type="image/svg+xml">
</head>
<body>
<header><h1>{escape(service)}</h1><p>observed by Outrider {escape(status.version)}</p></header>
<main>
{_verdict(status)}
{_destinations(status)}
{_sources(status)}
{_spool(status.spool, status.now_ns)}
{_probes(status.probes, status.now_ns)}
{_figures(status.figures)}
{_notices(status.notices, status.now_ns)}
{_about(status)}
</main>
<footer><nav aria-label="Other views"><a href="/">Reload</a> <a href="/?refresh=10">Reload every 10 s</a> <a href="/status.json">JSON</a>
<a href="/metrics">Metrics</a> <a href="/readyz">Readiness</a></nav></footer>
</body>
</html>
"""


def _verdict(status: Status) -> str:
    found = status.verdict()
    reasons = "".join(f"<li>{escape(reason)}</li>" for reason in found.reasons)
    ledger = "ledger: broken" if status.violations else "ledger: every accepted record is accounted for"
    return f"""<section class="verdict {found.health.name.lower()}" aria-label="Verdict">
<p class="word"><span aria-hidden="true">{_SIGNS[found.health]}</span> {escape(found.health)}</p>
<ul>{reasons}</ul>
<p>{ledger}</p>
</section>"""


def _destinations(status: Status) -> str:
    head = ("destination", "signal", "state", "last success", "sent", "waiting", "rejected", "dead letters", "evicted", "last error")
    return _table(
        "Destinations",
        head,
        (_destination(one, status.now_ns) for one in status.destinations),
        "None configured: everything stays in the spool.",
    )


def _destination(one: DestinationFacts, now_ns: int) -> Sequence[Cell]:
    error = Html(f"{escape(one.last_error)}, {ago(one.last_error_ns, now_ns)}") if one.last_error else ""
    counts = (one.sent, one.pending, one.rejected, one.dead_lettered, one.evicted)
    return (one.name, one.signal, state(one.state), ago(one.last_success_ns, now_ns), *counts, error)


def _sources(status: Status) -> str:
    head = ("source", "type", "state", "records accepted", "newest record", "dropped or changed")
    return _table("Sources", head, (_source(one) for one in status.sources), "None configured.")


def _source(one: SourceFacts) -> Sequence[Cell]:
    drops = ", ".join(f"{reason} {count:,}" for reason, count in sorted(one.drops.items()))
    newest = "" if one.lag_seconds is None else f"{span(one.lag_seconds)} ago"
    running = state("running" if one.running else "not running")
    said = "; ".join(filter(None, (one.reason, *one.troubles)))
    return (one.name, one.type, Html(f"{running} {escape(said)}") if said else running, one.accepted, newest, drops)


def _spool(spool: SpoolFacts, now_ns: int) -> str:
    used = f"{quantity(spool.used, 'By')} of {quantity(spool.quota, 'By')}"
    shown = Html(f"{state(spool.state)} {escape(spool.reason)}") if spool.reason else state(spool.state)
    row = (shown, used, spool.rows, ago(spool.oldest_ns, now_ns) if spool.oldest_ns else "", spool.dead_letters)
    return _table("Spool", ("state", "used", "rows", "oldest row", "dead letters"), [row], "")


def _probes(probes: Iterable[ProbeFacts], now_ns: int) -> str:
    rows = ((one.name, one.target, state(one.state), one.reason, span(one.seconds), ago(one.time_ns, now_ns)) for one in probes)
    return _table("Probes", ("probe", "target", "state", "reason", "duration", "last check"), rows, "None configured.")


def _figures(figures: Iterable[Figure]) -> str:
    rows = ((one.name, _attributes(one), quantity(one.value, one.unit)) for one in figures)
    return _table("Observed process", ("figure", "of", "value"), rows, "No target configured.")


def _attributes(figure: Figure) -> str:
    return ", ".join(f"{key}={value}" for key, value in figure.attributes.items())


def _notices(notices: Iterable[NoticeFacts], now_ns: int) -> str:
    rows = (
        (ago(one.time_ns, now_ns), one.count, one.level, one.name, ", ".join(f"{key}={value}" for key, value in one.details.items()))
        for one in notices
    )
    return _table("Last warnings and errors of the agent", ("last", "count", "level", "event", "details"), rows, "None.")


def _about(status: Status) -> str:
    facts = {
        "running since": ago(status.started_ns, status.now_ns),
        "process": str(status.pid),
        "state directory": status.state_dir,
        **{key: value for key, value in status.resource.items() if key != SERVICE_NAME},
    }
    return _table("About", ("what", "value"), facts.items(), "")


def _table(title: str, head: Sequence[str], rows: Iterable[Sequence[Cell]], empty: str) -> str:
    shown = list(rows)
    name = title.lower().replace(" ", "-")
    if not shown:
        return f'<section aria-labelledby="{name}"><h2 id="{name}">{escape(title)}</h2><p>{escape(empty)}</p></section>'
    heads = "".join(_head(text, cell) for text, cell in zip(head, shown[0], strict=True))
    return f"""<section aria-labelledby="{name}"><h2 id="{name}">{escape(title)}</h2>
<div class="scroll" role="region" aria-labelledby="{name}" tabindex="0"><table><thead><tr>{heads}</tr></thead><tbody>
{"".join(_row(row) for row in shown)}</tbody></table></div></section>"""


def _head(text: str, cell: Cell) -> str:
    return f'<th scope="col"{_NUMBER if isinstance(cell, int) else ""}>{escape(text)}</th>'


def _row(cells: Sequence[Cell]) -> str:
    first, *rest = cells
    return f'<tr><th scope="row">{_text(first)}</th>{"".join(_cell(cell) for cell in rest)}</tr>\n'


def _cell(cell: Cell) -> str:
    if isinstance(cell, int):
        return f"<td{_NUMBER}>{_text(cell)}</td>"
    return f"<td{_LONG if len(_TAG.sub('', cell)) > _SHORT else ''}>{_text(cell)}</td>"


def _text(cell: Cell) -> str:
    if isinstance(cell, Html):
        return cell
    return f"{cell:,}" if isinstance(cell, int) else escape(cell)


def state(word: str) -> Html:
    """Return a state with its word and its sign; the colour is not needed to read it."""
    kind, sign = ("good", "●") if word in _GOOD else ("middle", "▲") if word in _MIDDLE else ("bad", "✕")
    return Html(f'<span class="state {kind}"><span aria-hidden="true">{sign}</span> {escape(word)}</span>')


def ago(time_ns: int | None, now_ns: int) -> Html:
    """Return how long ago it was, with the exact time as its title."""
    if time_ns is None:
        return Html("never")
    exact = datetime.fromtimestamp(time_ns // 10**9, UTC).isoformat().replace("+00:00", "Z")
    return Html(f'<time datetime="{exact}" title="{exact}">{span(max(0, now_ns - time_ns) / 1e9)} ago</time>')


def span(seconds: float) -> str:
    """Return a duration as people write it."""
    if seconds < 1:
        return f"{seconds * 1000:.0f} ms"
    for limit, size, unit in ((120, 1, "s"), (7200, 60, "min"), (172_800, 3600, "h")):
        if seconds < limit:
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds / 86_400:.0f} d"


def quantity(value: float, unit: str) -> str:
    """Return a value with its UCUM unit as people write it."""
    if unit == "By":
        return _bytes(value)
    number = f"{value:,.0f}" if float(value).is_integer() else f"{value:,.3f}"
    return number if unit in ("", "1") or unit.startswith("{") else f"{number} {unit}"  # the metric's name says what `{thread}` counts


def _bytes(value: float) -> str:
    for unit in ("B", "KiB", "MiB"):
        if value < 1024:
            return f"{value:.0f} B" if unit == "B" else f"{value:.1f} {unit}"
        value /= 1024
    return f"{value:.1f} GiB"
