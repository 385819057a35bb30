"""The status and a record as text for a terminal. Control characters in data are shown escaped."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence


def status_text(facts: object) -> str:
    """Format `/status.json` as short tables."""
    if not isinstance(facts, dict):
        return "the agent's answer is not a valid status"
    verdict, spool = facts["verdict"], facts["spool"]
    lines = [f"outrider {facts['version']}, pid {facts['pid']}: {verdict['health']}", *(f"  ! {reason}" for reason in verdict["reasons"])]
    lines += [
        "",
        f"spool {spool['state']}: {spool['used']:,} of {spool['quota']:,} bytes, {spool['rows']} rows, {spool['dead_letters']} dead letters",
    ]
    lines += _table("source", ("accepted", "stored", "newest record", "dropped or changed"), [_source(one) for one in facts["sources"]])
    lines += _table(
        "destination", ("state", "sent", "pending", "rejected", "dead", "evicted"), [_destination(one) for one in facts["destinations"]]
    )
    lines += _table(
        "probe", ("state", "target", "reason"), [(one["name"], one["state"], one["target"], one["reason"]) for one in facts["probes"]]
    )
    lines += _table("last warnings and errors", ("times", "level", "details"), [_notice(one) for one in facts["notices"]])
    lines += ["", "ledger: " + ("; ".join(facts["violations"]) or "accepted = sent + rejected + dead-lettered + evicted + pending")]
    return printable("\n".join(lines))


def record_text(record: Mapping[str, object]) -> str:
    """Format a record as one line: time, severity, source, body, attributes."""
    attributes = record.get("attributes")
    pairs = " ".join(f"{key}={value}" for key, value in attributes.items()) if isinstance(attributes, dict) else ""
    text = f"{record.get('time', '')} {record.get('severity_text') or '-':<8} {record.get('source')}  {record.get('body', '')}  {pairs}"
    return printable(text.rstrip().replace("\n", "⏎"))


def printable(text: str) -> str:
    """Escape control characters, so that data cannot control the terminal."""
    return "".join(one if one.isprintable() or one == "\n" else one.encode("unicode_escape").decode("ascii") for one in text)


def _source(one: Mapping[str, object]) -> tuple[object, ...]:
    lag, drops = one["lag_seconds"], one["drops"]
    newest = f"{lag:,.1f} s ago" if isinstance(lag, float) else "-"
    dropped = ", ".join(f"{reason} {count:,}" for reason, count in sorted(drops.items())) if isinstance(drops, dict) else ""
    return one["name"], one["accepted"], one["pending"], newest, dropped


def _notice(one: Mapping[str, object]) -> tuple[object, ...]:
    details = one["details"]
    pairs = ", ".join(f"{key}={value}" for key, value in details.items()) if isinstance(details, dict) else ""
    return one["name"], one["count"], one["level"], pairs


def _destination(one: Mapping[str, object]) -> tuple[object, ...]:
    return f"{one['name']} {one['signal']}", *(one[key] for key in ("state", "sent", "pending", "rejected", "dead_lettered", "evicted"))


def _table(title: str, columns: Sequence[str], rows: Iterable[Sequence[object]]) -> list[str]:
    cells = [[title, *columns], *[[f"{cell:,}" if isinstance(cell, int) else str(cell) for cell in row] for row in rows]]
    if len(cells) == 1:
        return []
    widths = [max(len(row[number]) for row in cells) for number in range(len(cells[0]))]
    return ["", *("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in cells)]
