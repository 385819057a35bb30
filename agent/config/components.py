"""The lists of components: each entry's type looked up, its options checked by the component's own `Config`."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Final

from agent import registry
from agent.component import ComponentConfig
from agent.config.check import check, suggest
from agent.config.settings import Entry, ProbeEntry, SamplerEntry
from agent.config.tree import Data, Site, Tree, dotted, kind_of
from agent.names import CHILD
from agent.options import OptionError, mask_url, parse_duration, with_scheme
from agent.registry import Kind

if TYPE_CHECKING:
    from collections.abc import Mapping

ENTRIES: Final[Mapping[Kind, type[Entry]]] = {
    Kind.SOURCE: Entry,
    Kind.SAMPLER: SamplerEntry,
    Kind.PROBE: ProbeEntry,
    Kind.EXPORTER: Entry,
}

OWN_NAMES: Final = "outrider."
"""The beginning of the names under which the agent stores its own figures and findings."""
SCHEMES: Final = {
    "http": "http",
    "https": "http",
    "tcp": "tcp",
    "redis": "redis",
    "rediss": "redis",
    "grpc": "grpc",
    "grpcs": "grpc",
    "file": "heartbeat",
}
"""The probe type of a URL."""

PLANNED: Final[Mapping[Kind, frozenset[str]]] = {
    Kind.SOURCE: frozenset({"otlp", "redis_stream", "redis_pubsub", "scrape", "socket", "test_runs"}),
    Kind.SAMPLER: frozenset({"cgroup"}),
    Kind.PROBE: frozenset({"command", "grpc", "heartbeat", "process", "redis"}),
    Kind.EXPORTER: frozenset({"otlp_grpc"}),
}
"""Types of later versions: a configuration with one of them is not mistyped."""


MEANT: Final[Mapping[tuple[Kind, str], str]] = {
    (Kind.EXPORTER, "prometheus"): "remove it: /metrics is there without one, at server.listen",
    (Kind.SOURCE, "file"): "did you mean 'log_files'?",
    (Kind.SOURCE, "filelog"): "did you mean 'log_files'?",
    (Kind.SOURCE, "tail"): "did you mean 'log_files'?",
    (Kind.EXPORTER, "stdout"): "did you mean 'console'?",
    (Kind.EXPORTER, "logging"): "did you mean 'console'?",
    (Kind.SAMPLER, "process"): "did you mean 'process_tree'?",
    **{(Kind.EXPORTER, name): "did you mean 'otlp_http'?" for name in ("otlp", "otlphttp", "otlp/http", "opentelemetry", "otel")},
}
"""Names that other programs use for our types → the fix."""


def host_keys(kind: Kind) -> list[str]:
    """The keys of an entry that the host reads, whatever its type."""
    return [key for key in ENTRIES[kind].model_fields if key != "options"]


def check_components(kind: Kind, tree: Tree) -> list[Entry | None]:
    """The entries of a kind in their order; None for a wrong one, whose faults go into the tree."""
    raw = tree.data.get(kind)
    if raw is None:
        return []
    if not isinstance(raw, list):
        Site(tree, (kind,)).fault((), f"must be a list, not {kind_of(raw)}", f"begin each entry with `- {_first_key(kind)}: …`")
        return []
    return [_entry(kind, item, Site(tree, (kind, index), tuple(host_keys(kind)))) for index, item in enumerate(raw)]


def _entry(kind: Kind, raw: Data, site: Site) -> Entry | None:
    if not isinstance(raw, dict):
        site.fault((), f"must be a mapping, not {kind_of(raw)}", f"write `- {_first_key(kind)}: …` with its options below")
        return None
    raw = _in_time(raw) if kind is Kind.PROBE else raw
    name = _type_of(kind, raw, site)
    found = None if name is None else _load(kind, name, site, "type" if "type" in raw else "url")
    if name is None or found is None:
        return None
    mine = host_keys(kind)
    options = check(found.Config, _options(raw, mine, found.Config), site)
    host = {key: raw[key] for key in mine if raw.get(key) is not None}
    default = _default_name(name, raw) if options else name  # a wrong URL is one fault, and not a wrong name as well
    defaults = {"type": name, "name": default, "options": options or ComponentConfig()}
    entry = check(ENTRIES[kind], defaults | host, site)
    return None if options is None else entry


def _first_key(kind: Kind) -> str:
    """The key that an entry begins with: a probe's URL says its type."""
    return "url" if kind is Kind.PROBE else "type"


def _in_time(raw: dict[str, Data]) -> dict[str, Data]:
    """A probe whose interval is written, and shorter than the default timeout, has that as its timeout."""
    interval = raw.get("interval")
    with contextlib.suppress(OptionError):
        if "timeout" not in raw and interval is not None and 0 < parse_duration(interval) < ProbeEntry.model_fields["timeout"].default:
            return {**raw, "timeout": interval}
    return raw


def _options(raw: dict[str, Data], mine: list[str], config: type[ComponentConfig]) -> dict[str, Data]:
    """The component's own options: all except the host's keys, unless it has an option of that name as well."""
    return {key: value for key, value in raw.items() if key not in mine or key in config.model_fields}


def _default_name(name: str, raw: dict[str, Data]) -> str:
    url = raw.get("url")
    return mask_url(url) if isinstance(url, str) else name


def _type_of(kind: Kind, raw: dict[str, Data], site: Site) -> str | None:
    name, url = raw.get("type"), raw.get("url")
    if isinstance(name, str):
        return name
    if name is not None:
        site.fault(("type",), f"must be text, not {kind_of(name)}", suggest("", registry.types(kind)))
    elif kind is Kind.PROBE and isinstance(url, str):
        return _type_of_url(url, site)
    else:
        first = _first_key(kind)
        types = "" if kind is Kind.PROBE else "; " + suggest("", registry.types(kind))
        site.fault((), f"{first} is required", f"add `{first}: …`{types}")
    return None


def _type_of_url(url: str, site: Site) -> str | None:
    scheme, separator, _ = url.partition("://")
    found = SCHEMES.get(scheme.lower()) if separator else None
    if not separator:
        site.fault(("url",), "has no scheme", f"write {with_scheme(url)}, or tcp://host:port for a port that does not speak HTTP")
    elif found is None:
        site.fault(("url",), f"no probe knows the scheme {scheme!r}", suggest(scheme, _available_schemes()))
    return found


def _available_schemes() -> list[str]:
    """The schemes of URLs that this version can probe."""
    return [scheme for scheme, name in SCHEMES.items() if name not in PLANNED[Kind.PROBE]]


def _load(kind: Kind, name: str, site: Site, key: str) -> registry.ComponentClass | None:
    try:
        return registry.load(kind, name)
    except registry.UnavailableError as error:
        site.fault((key,), str(error), "install it beside outrider")
    except registry.UnknownTypeError as error:
        if name in PLANNED[kind]:
            site.fault((key,), f"{name!r} is not available in this version", "remove it, or upgrade when it is")
        else:
            site.fault((key,), str(error), MEANT.get((kind, name.lower())) or suggest(name, registry.types(kind)))
    return None


def check_names(tree: Tree, kinds: Mapping[Kind, list[Entry | None]]) -> None:
    """Refuse a name that two entries have, or that the agent uses itself: names are the keys of positions and cursors."""
    taken: dict[str, str] = {}
    for kind, entries in kinds.items():
        for index, entry in enumerate(entries):
            name = _name_meant(kind, index, tree) if entry is None else entry.name
            if name == CHILD or name.startswith(OWN_NAMES):
                Site(tree, (kind, index)).fault(("name",), f"{name!r} is a name that the agent uses itself", "give it another `name`")
            elif name in taken:
                Site(tree, (kind, index)).fault(
                    ("name",), f"{name!r} is already the name of {taken[name]}", "give one of the two another `name`"
                )
            elif name:
                taken[name] = dotted((kind, index))


def _name_meant(kind: Kind, index: int, tree: Tree) -> str:
    """The name that an entry will have when its faults are mended; empty if that is unknown."""
    listed = tree.data.get(kind)
    raw = listed[index] if isinstance(listed, list) else None
    if not isinstance(raw, dict):
        return ""
    name, type_ = raw.get("name"), raw.get("type", "")
    found = _default_name(type_, raw) if name is None and isinstance(type_, str) else name
    return found if isinstance(found, str) else ""
