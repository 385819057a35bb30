"""The command line: the only place that prints or exits. Exit codes follow sysexits.h."""

from __future__ import annotations

import contextlib
import errno
import functools
import importlib
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final, NoReturn, TypeVar
from urllib.parse import urlencode

import click

from agent import __version__, lean
from agent.errors import ConfigError, NoInputError, OutriderError, SpoolLockedError, UnavailableError
from agent.exec.command import note_descriptors

if TYPE_CHECKING:
    from collections.abc import Callable

    from agent.cli_spool import Access
    from agent.config import Settings

T = TypeVar("T")

EX_USAGE: Final = 64
EX_NOINPUT: Final = 66
EX_UNAVAILABLE: Final = 69
EX_SOFTWARE: Final = 70
EX_CANTCREAT: Final = 73
EX_IOERR: Final = 74
EX_CONFIG: Final = 78

NO_PLACE: Final = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO})
"""Error numbers of a standard output whose disk is full or broken."""

_config_option = click.option(
    "--config",
    "-c",
    "config",
    type=click.Path(path_type=Path, readable=False),  # an unreadable file is reported with the configuration's faults
    help="Configuration file. Default: the environment is the configuration.",
)
_state_option = click.option(
    "--state-dir",
    type=click.Path(path_type=Path, readable=False),
    default=lambda: os.environ.get("OUTRIDER_STATE_DIR", ".outrider"),
    show_default="$OUTRIDER_STATE_DIR or ./.outrider",
    help="State directory of the agent.",
)
_json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON.")


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.version_option(__version__, prog_name="outrider")
def cli() -> None:
    """Outrider, an observability sidecar: collects a workload's logs, errors and resource usage without losing any."""


@cli.command(short_help="Run the sidecar until SIGTERM.")
@_config_option
def run(config: Path | None) -> None:
    """Run the sidecar until SIGTERM; SIGHUP reads the configuration again."""
    run_agent = _runtime()
    sys.exit(_guarded(lambda: run_agent(_settings(config), reload=lambda: _settings(config))))


@cli.command(
    name="exec",
    short_help="Run a command and observe it.",
    context_settings={"ignore_unknown_options": True, "allow_interspersed_args": False},
)
@_config_option
@click.argument("command", nargs=-1, required=True, type=click.UNPROCESSED)
def exec_(config: Path | None, command: tuple[str, ...]) -> None:
    """Run COMMAND, pass its output through, collect it, and return COMMAND's exit code.

    COMMAND is found and started as by env(1), with the same arguments, environment, descriptors, signals, limits and process group. Signals
    to outrider are passed on to it. outrider ends only when COMMAND has ended: with its exit code, 128 + N if signal N killed it, 126 if it
    can't be executed, 127 if it is not found, 70 if its end is unknown. If the agent, its configuration or a standard variable is faulty,
    COMMAND runs nevertheless, and the fault is reported on standard error.

    The differences from env(1): standard output and error are pipes, also where outrider's are closed. COMMAND therefore sees no terminal, no
    full disk and no closed reader, and if both go to one place, order is kept within each only. SIGPIPE has its default action. While outrider
    is stopped (SIGSTOP, a frozen cgroup) COMMAND can write 1 MiB to each output, then it waits; if it must not wait, let it log through a queue
    (QueueHandler, an asynchronous appender). Processes that COMMAND leaves behind can write to outrider's output after it has ended; what they
    write later than a second after COMMAND's end is not collected, and counted as not_collected.
    """

    def settings() -> Settings:
        return _settings(config).for_command(command)

    try:
        run_agent, first = _runtime(), settings()
    except Exception as error:  # noqa: BLE001 - whatever is wrong with us or our configuration, the command runs
        sys.exit(_without_agent(error, command))
    sys.exit(run_agent(first, reload=settings, command=command))


@cli.command(short_help="Validate the configuration.")
@_config_option
@click.option("--send", is_flag=True, help="Also deliver one test record to each destination, and print each answer.")
def check(config: Path | None, *, send: bool) -> None:
    """Validate the configuration by building every component in it."""
    from agent.host.checking import check_settings  # noqa: PLC0415 - as above

    failed = False
    for name, outcome, well in _guarded(lambda: check_settings(_settings(config), send=send)):
        click.echo(f"{'ok' if well else 'FAIL':4} {name}: {outcome}")
        failed = failed or not well
    sys.exit(EX_UNAVAILABLE if failed else 0)


@cli.command()
def schema() -> None:
    """Print the JSON Schema of the configuration."""
    import orjson  # noqa: PLC0415 - as above

    from agent.config import schema as make  # noqa: PLC0415 - as above

    click.echo(orjson.dumps(make(), option=orjson.OPT_INDENT_2).decode())


@cli.command()
@_state_option
@_json_option
def status(state_dir: Path, *, as_json: bool) -> None:
    """Show the state of the running agent."""
    from agent.host.control import ask_json  # noqa: PLC0415 - as above
    from agent.server.text import status_text  # noqa: PLC0415 - as above

    facts = _asked(lambda: ask_json(state_dir, "/status.json"))
    if not isinstance(facts, dict) or "verdict" not in facts:
        _die(f"the process that listens in {state_dir} is not an outrider agent", EX_UNAVAILABLE)
    click.echo(_pretty(facts) if as_json else status_text(facts))


@cli.command()
@_state_option
@_json_option
@click.option("--follow", "-f", is_flag=True, help="Continue with new records.")
@click.option(
    "--severity", default="unspecified", help="Lowest severity to show: trace, debug, info, warn, error, fatal, or a program's name for it."
)
@click.option("--source", default="", help="Show only records of this source.")
def logs(state_dir: Path, *, as_json: bool, follow: bool, severity: str, source: str) -> None:
    """Show the stored records, oldest first."""
    from agent.host.control import stream_lines  # noqa: PLC0415 - as above
    from agent.parse.severity import from_name  # noqa: PLC0415 - as above
    from agent.server.text import record_text  # noqa: PLC0415 - as above

    if severity.lower() != "unspecified" and not from_name(severity):
        _die(f"no severity {severity!r}; there are trace, debug, info, warn, error, fatal", EX_USAGE)
    path = f"/logs?{urlencode({'severity': severity, 'source': source, 'follow': int(follow)})}"

    def show() -> None:
        for line in stream_lines(state_dir, path):
            click.echo(line.rstrip(b"\n") if as_json else record_text(_record(line)))

    with contextlib.suppress(KeyboardInterrupt):
        _asked(show)


@cli.command()
@_state_option
@click.option("--strict", is_flag=True, help="Not ready also when a destination fails.")
def healthcheck(state_dir: Path, *, strict: bool) -> None:
    """Exit 0 if the running agent is ready, else 1. For images without curl."""
    from agent.host.control import NotRunningError, ask_json  # noqa: PLC0415 - as above

    try:
        found = ask_json(state_dir, f"/readyz?strict={int(strict)}")
    except (NotRunningError, OutriderError) as error:
        click.echo(f"outrider: {error}", err=True)
        sys.exit(1)
    well = isinstance(found, dict) and (found.get("status") == "ready" or (found.get("status") == "degraded" and not strict))
    click.echo(_pretty(found))
    sys.exit(0 if well else 1)


@cli.command()
@_json_option
def components(*, as_json: bool) -> None:
    """List all component types and their options."""
    from agent.config import components as known  # noqa: PLC0415 - as above

    found = known()
    if as_json:
        click.echo(_pretty([{**one._asdict(), "options": [option._asdict() for option in one.options]} for one in found]))
        return
    for one in found:
        click.echo(f"\n{one.kind}: {click.style(one.type, bold=True)}\n  {one.summary}")
        for option in one.options:
            click.echo(f"    {option.path:<24} {option.type:<20} {option.default:<16} {option.text}")


@cli.group()
def spool() -> None:
    """Inspect the store, with or without a running agent."""


@spool.command(name="stat")
@_state_option
@_json_option
def spool_stat(state_dir: Path, *, as_json: bool) -> None:
    """Show sizes, rows, cursors and orphans."""
    from agent import cli_spool  # noqa: PLC0415 - as above

    _guarded(lambda: cli_spool.show_stat(_spool(state_dir), as_json=as_json))


@spool.command(name="export")
@_state_option
@click.option("--signal", default="logs", show_default=True, help="Rows to write: logs, metrics, traces, sentry.error, …")
def spool_export(state_dir: Path, signal: str) -> None:
    """Write all stored rows to standard output as lines of JSON."""
    from agent import cli_spool  # noqa: PLC0415 - as above
    from agent.record import Signal  # noqa: PLC0415 - as above

    if signal not in list(Signal):
        raise click.BadParameter(f"{signal!r}; there are {', '.join(Signal)}", param_hint="--signal")
    _guarded(lambda: cli_spool.write_export(_spool(state_dir), Signal(signal)))


@spool.command(name="gc")
@_state_option
@_config_option
@click.option("--force", is_flag=True, help="Also if records wait for it; they are deleted and counted as evicted.")
@click.argument("destination")
def spool_gc(state_dir: Path, config: Path | None, destination: str, *, force: bool) -> None:
    """Forget DESTINATION, which is no longer configured.

    Without --config (or OUTRIDER_CONFIG) the configuration of the agent's last run counts.
    """
    from agent import cli_spool  # noqa: PLC0415 - as above

    _guarded(lambda: cli_spool.forget(_spool(state_dir, config), destination, force=force))


@spool.command(name="dead-letters")
@_state_option
@_json_option
@click.option("--show", type=int, metavar="ID", help="Write the request to standard output.")
@click.option("--requeue", type=int, metavar="ID", help="Send it to its destination again.")
@click.option("--discard", type=int, metavar="ID", help="Delete it; it stays counted.")
def spool_dead_letters(state_dir: Path, *, as_json: bool, show: int | None, requeue: int | None, discard: int | None) -> None:
    """List or handle requests that destinations refused for good."""
    from agent import cli_spool  # noqa: PLC0415 - as above

    opened = _guarded(lambda: _spool(state_dir))
    if show is not None:
        _guarded(lambda: cli_spool.write_body(opened, show))
    elif requeue is not None:
        _guarded(lambda: cli_spool.requeue(opened, requeue))
    elif discard is not None:
        _guarded(lambda: cli_spool.discard(opened, discard))
    else:
        _guarded(lambda: cli_spool.show_dead_letters(opened, as_json=as_json))


def _spool(state_dir: Path, config: Path | None = None) -> Access:
    from agent import cli_spool  # noqa: PLC0415 - as above

    named = config is not None or bool(os.environ.get("OUTRIDER_CONFIG"))
    return cli_spool.open_spool(state_dir, lambda: [entry.name for entry in _settings(config).exporters] if named else None)


def main() -> None:
    """Entry point of the `outrider` command."""
    _hold_standard_descriptors()
    click.UsageError.exit_code = EX_USAGE  # its own is 2
    try:
        cli(prog_name="outrider")
    except OSError as error:
        if error.errno not in NO_PLACE:
            raise
        _die(f"the output can't be written: {error.strerror}", EX_IOERR)


def _hold_standard_descriptors() -> None:
    """Put /dev/null where standard input, output or error is closed: otherwise one of our own files gets that number, and output goes into it.

    A command that inherits them finds them closed, as they were.
    """
    note_descriptors()
    while (number := os.open(os.devnull, os.O_RDWR)) <= 2:
        pass
    os.close(number)
    for number, (name, mode) in enumerate((("stdin", "r"), ("stdout", "w"), ("stderr", "w"))):
        if getattr(sys, name) is None:
            setattr(sys, name, open(number, mode, encoding="utf-8", closefd=False))  # noqa: SIM115 - for the process's life


def _runtime() -> Callable[..., int]:
    """The function that runs an agent, imported without modules that a running agent does not need."""
    lean.defer(lean.TLS)
    with lean.stand_ins("importlib.metadata", **lean.NO_PLUGINS):
        importlib.import_module("agent.component")  # its options are the first model: pydantic looks for plugins
    from agent.host.runtime import run_agent  # noqa: PLC0415 - as above
    from agent.server.endpoints import Endpoints  # noqa: PLC0415 - as above

    return functools.partial(run_agent, pages=Endpoints)


def _without_agent(error: Exception, command: tuple[str, ...]) -> int:
    """Run the command of `exec` alone, and say why."""
    from agent.exec import unobserved  # noqa: PLC0415 - as above
    from agent.exec.listener import Listener  # noqa: PLC0415 - as above

    listener = Listener()
    listener.start()
    return unobserved.go_on(error, None, command, listener)


def _settings(config: Path | None) -> Settings:
    from agent.config import read  # noqa: PLC0415 - as above

    settings, warnings = read(config, os.environ)
    for warning in warnings:
        with contextlib.suppress(OSError):  # a standard error that takes nothing
            click.echo(f"outrider: warning: {warning}", err=True)
    return settings


def _record(line: bytes) -> dict[str, object]:
    """One line of the agent's answer, as a record."""
    import orjson  # noqa: PLC0415 - as above

    with contextlib.suppress(ValueError):
        if isinstance(record := orjson.loads(line), dict):
            return record
    raise UnavailableError("the process that listens in the state directory is not an outrider agent")


def _asked(question: Callable[[], T]) -> T:
    """Ask the running agent; without one, print a message and exit."""
    from agent.host.control import NotRunningError  # noqa: PLC0415 - as above

    try:
        return _guarded(question)
    except NotRunningError as error:
        _die(f"{error}; start one with `outrider run`, or name its --state-dir", EX_UNAVAILABLE)


def _pretty(value: object) -> str:
    import orjson  # noqa: PLC0415 - as above

    return orjson.dumps(value, option=orjson.OPT_INDENT_2).decode()


def _guarded(action: Callable[[], T]) -> T:
    """Turn the agent's own errors into a message and an exit code."""
    try:
        return action()
    except ConfigError as error:
        _die(str(error), EX_CONFIG)
    except SpoolLockedError as error:
        _die(str(error), EX_CANTCREAT)
    except UnavailableError as error:
        _die(str(error), EX_UNAVAILABLE)
    except NoInputError as error:
        _die(str(error), EX_NOINPUT)
    except OutriderError as error:
        _die(str(error), EX_SOFTWARE)


def _die(message: str, code: int) -> NoReturn:
    for line in message.split("\n"):
        click.echo(f"outrider: {line}", err=True)
    sys.exit(code)
