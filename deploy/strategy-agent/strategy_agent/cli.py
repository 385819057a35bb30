"""The command line: ``run``, ``healthcheck``.

Exit codes: 0 done, 1 unhealthy or crashed, 2 wrong usage, 69 the HTTP port is not available, 73 the log file cannot
be written.
"""

import argparse
import asyncio
import os
import sys
import time
from collections.abc import Callable, Sequence
from http.client import HTTPException
from pathlib import Path
from urllib.request import urlopen

import msgspec
from msgspec import Struct, structs
from structlog.stdlib import get_logger

from strategy_agent.config import ServiceConfig, between, parse_duration
from strategy_agent.faults import KINDS, parse_fault
from strategy_agent.logs import configure_logging
from strategy_agent.market import SCENARIOS
from strategy_agent.model import WireError, decode

DEFAULTS = ServiceConfig()


class Progress(Struct, frozen=True):
    """What the check reads of ``/health``."""

    last_tick_at: float | None


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line and return the exit code."""
    arguments = make_parser().parse_args(argv)
    command: Callable[[argparse.Namespace], int] = arguments.command
    return command(arguments)


def make_parser() -> argparse.ArgumentParser:
    """Return the parser of the whole command line."""
    parser = argparse.ArgumentParser(
        prog="strategy-agent", description="A small, deterministic trading strategy agent with paper brokers."
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    _add_run(commands.add_parser("run", help="trade a scenario until stopped"))
    _add_healthcheck(commands.add_parser("healthcheck", help="ask a running agent; exit 0 or 1"))
    return parser


def _add_run(parser: argparse.ArgumentParser) -> None:
    option = parser.add_argument
    option("--scenario", choices=sorted(SCENARIOS), help="market (%(default)s)")
    option("--seed", type=int, help="makes market and venues repeatable (%(default)s)")
    option("--rate", type=between(float, 0.1, 5000, "ticks per second"), help="ticks a second in all (%(default)s)")
    option("--host", help="where /health and /metrics listen (%(default)s)")
    option("--port", type=between(int, 0, 65535, "as a port"), help="their port, 0 for any (%(default)s)")
    option("--log-file", type=Path, metavar="PATH", help="log there as well as to standard output")
    option("--kill-switch", type=Path, metavar="PATH", help="a file that stops all trading for as long as it exists")
    option("--redis-url", type=_redis_url, metavar="URL", help="send events and share books there: redis://HOST:PORT")
    option("--fault", dest="faults", action="append", type=parse_fault, metavar="NAME[@START][:ARGUMENT]",
           help=f"make something go wrong; may be repeated. NAME is one of {', '.join(KINDS)}")  # fmt: skip
    parser.set_defaults(command=_run, **{**structs.asdict(DEFAULTS), "faults": []})


def _add_healthcheck(parser: argparse.ArgumentParser) -> None:
    parser.set_defaults(command=_healthcheck)
    option = parser.add_argument
    option("--url", type=_http_url, default=f"http://{DEFAULTS.host}:{DEFAULTS.port}/health", help="(%(default)s)")
    option("--max-tick-age", type=parse_duration, metavar="TIME", help="also fail if it makes no progress")


def _run(arguments: argparse.Namespace) -> int:
    config = _config(arguments)
    try:
        configure_logging(config.log_file)
    except OSError as error:
        return _fail(os.EX_CANTCREAT, f"cannot write the log file: {error}")
    # Imported late, so that --help and healthcheck answer at once.
    from strategy_agent.aio import PortError  # noqa: PLC0415
    from strategy_agent.service import run_service  # noqa: PLC0415

    try:
        asyncio.run(run_service(config, os.environ))
    except PortError as error:
        return _fail(os.EX_UNAVAILABLE, str(error))
    except Exception:
        if config.log_file is not None:  # what reads only that must learn of it; the interpreter prints it besides
            get_logger(__name__).critical("service_crashed", exc_info=True)
        raise
    return 0


def _config(arguments: argparse.Namespace) -> ServiceConfig:
    return msgspec.convert(arguments, ServiceConfig, from_attributes=True)


def _healthcheck(arguments: argparse.Namespace) -> int:
    problem = check_health(arguments.url, arguments.max_tick_age)
    if problem is not None:
        return _fail(1, problem)
    sys.stdout.write("healthy\n")
    return 0


def check_health(url: str, max_tick_age: float | None = None) -> str | None:
    """Return what is wrong with the service at ``url``, or None."""
    try:
        with urlopen(url, timeout=2.0) as response:  # noqa: S310 - the scheme is checked by the caller
            progress = decode(response.read(), Progress)
    except (OSError, HTTPException, WireError) as error:
        return f"no answer from {url}: {error}"
    return None if max_tick_age is None else stale(progress.last_tick_at, time.time(), max_tick_age)


def stale(last_tick_at: float | None, now: float, max_tick_age: float) -> str | None:
    """Return what is wrong with the last tick, or None; all in Unix seconds."""
    if last_tick_at is None:
        return "no tick yet"
    age = now - last_tick_at
    return f"last tick {age:.1f} s ago, more than {max_tick_age:g} s" if age > max_tick_age else None


def _fail(code: int, message: str) -> int:
    sys.stderr.write(f"strategy-agent: {message}\n")
    return code


def _redis_url(text: str) -> str:
    from redis.asyncio.connection import parse_url  # noqa: PLC0415 - slow to import, and seldom wanted

    try:
        parse_url(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from error
    return text


def _http_url(text: str) -> str:
    if not text.startswith(("http://", "https://")):
        raise argparse.ArgumentTypeError(f"{text!r} is not an http:// or https:// URL")
    return text
