"""From a file and the environment to `Settings`: read, fill, check everything, and only then complain, about all of it."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from agent.config.check import check, suggest
from agent.config.components import check_components, check_names
from agent.config.environment import MEANT, OTLP_PREFIX, OURS, ignored_choices, tree_of, unknown_variables, unused_warning
from agent.config.include import include
from agent.config.secrets import literal_passwords, literal_secrets
from agent.config.settings import Entry, Settings
from agent.config.tree import Fault, InvalidConfigError, Place, Site, Tree
from agent.net.addresses import is_loopback
from agent.options import split_address
from agent.registry import Kind

if TYPE_CHECKING:
    from collections.abc import Mapping


class Loaded(NamedTuple):
    """A valid configuration, and its warnings."""

    settings: Settings
    warnings: tuple[Fault, ...]


def load(path: Path | None, env: Mapping[str, str]) -> Settings:
    """Read the configuration; see `read`."""
    return read(path, env).settings


def read(path: Path | None, env: Mapping[str, str]) -> Loaded:
    """Read the configuration and its warnings. The file decides; the environment fills what the file leaves out.

    Components come from the environment only for a kind of which the file has no list (`sources`, `samplers`, `probes`, `exporters`).
    Raises `InvalidConfigError` with every fault.
    """
    tree = Tree("environment") if path is None else _read(path, env)
    around = tree_of(env)
    if "exporters" in tree.data:
        around.warnings[:] = [*(one for one in around.warnings if not one.place.source.startswith(OTLP_PREFIX)), *ignored_choices(env)]
    unused = [unused_warning(route, around) for route in tree.fill(around) if around.value_place(route).source not in tree.referenced]
    unknown = [
        Fault(Place(name), "", "is not a variable of this program", MEANT.get(name) or suggest(name, OURS))
        for name in unknown_variables(env)
    ]
    settings = settings_of(tree)
    return Loaded(settings, tuple(sorted({*unused, *unknown, *tree.warnings, *_open_pages(tree, settings), *_secrets_in(tree, settings)})))


def _open_pages(tree: Tree, settings: Settings) -> list[Fault]:
    """A warning where the configuration lets every client read the pages."""
    server = settings.server
    if not server.insecure or server.web_config or server.bearer_token or is_loopback(split_address(server.listen)[0]):
        return []
    message = f"every client that reaches {server.listen} can read the pages, without TLS or authentication"
    return [
        Fault(
            tree.value_place(("server", "insecure")),
            "server.insecure",
            message,
            "set web_config or bearer_token if other machines can reach it",
        )
    ]


def from_environment(env: Mapping[str, str]) -> Settings:
    """The configuration without a file. Raises `InvalidConfigError` with every fault."""
    return load(None, env)


def settings_of(tree: Tree) -> Settings:
    """Check a tree; raises `InvalidConfigError` with its faults and those found now."""
    lists = {kind: check_components(kind, tree) for kind in Kind}
    check_names(tree, {kind: entries for kind, entries in lists.items() if kind is not Kind.EXPORTER})
    check_names(tree, {Kind.EXPORTER: lists[Kind.EXPORTER]})
    rest = {key: value for key, value in tree.data.items() if key not in lists and value is not None}
    entries = {str(kind): tuple(entry for entry in found if entry is not None) for kind, found in lists.items()}
    settings = check(Settings, {**rest, **entries}, Site(tree, ()))
    _check_web(tree, settings)
    if settings is None or tree.faults:
        raise InvalidConfigError(tree.faults)
    return settings


def _check_web(tree: Tree, settings: Settings | None) -> None:
    """Find the faults of the `web.config` as well, whatever else is wrong."""
    section = tree.data.get("server")
    name = section.get("web_config") if isinstance(section, dict) else None
    if not isinstance(name, str) or not _can_be_read(name):
        return
    from agent.config.web import read_web  # noqa: PLC0415 - TLS, and the YAML reader

    try:
        web = read_web(Path(name))
    except InvalidConfigError as error:
        tree.faults.extend(error.faults)
        return
    closed = web.guarded or settings is None or settings.server.bearer_token or settings.server.insecure
    if settings is not None and not closed and not is_loopback(split_address(settings.server.listen)[0]):
        fix = "add basic_auth_users there, set bearer_token, or write `insecure: true` under `server`"
        Site(tree, ("server",)).fault(("listen",), f"can be reached by other machines, and {name} demands no authentication", fix)


def _can_be_read(name: str) -> bool:
    """Whether it is a file that can be read; if not, the fault of its option is already noted."""
    try:
        return os.access(name, os.R_OK) and Path(name).is_file()
    except (OSError, ValueError):
        return False


def _read(path: Path, env: Mapping[str, str]) -> Tree:
    try:
        text = path.read_bytes()
    except OSError as error:
        fix = f"name a file that exists and that user {os.geteuid()} may read"
        raise InvalidConfigError([Fault(Place(str(path)), "", f"cannot be read: {error.strerror}", fix)]) from error
    from agent.config.document import parse  # noqa: PLC0415 - the YAML reader costs memory that a run without a file need not pay

    tree = parse(text, str(path), env)
    include(tree, lambda data, name: parse(data, name, env))
    return tree


def _secrets_in(tree: Tree, settings: Settings) -> list[Fault]:
    entries: list[tuple[Kind, int, Entry]] = [
        (kind, index, entry) for kind in Kind for index, entry in enumerate(getattr(settings, kind)) if isinstance(entry, Entry)
    ]
    found = [*literal_secrets(Settings, tree.data, Site(tree, ())), *literal_passwords(tree.data, Site(tree, ()))]
    for kind, index, entry in entries:
        listed = tree.data[kind]
        if isinstance(listed, list):
            found += literal_secrets(type(entry.options), listed[index], Site(tree, (kind, index)))
    return list({fault.place: fault for fault in found}.values())
