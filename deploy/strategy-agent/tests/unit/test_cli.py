"""The command line: what it accepts, refuses and answers."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest

from strategy_agent import cli
from strategy_agent.config import ServiceConfig
from strategy_agent.faults import parse_fault
from tests.support import command, free_port


def config(*arguments: str) -> ServiceConfig:
    """Return the configuration that a command line leads to."""
    return cli._config(cli.make_parser().parse_args(["run", *arguments]))


def test_without_options_the_defaults_hold() -> None:
    """The parser's defaults are the configuration's."""
    assert config() == ServiceConfig()


def test_every_option_arrives() -> None:
    """Each option ends up in the configuration, with its type."""
    given = config(
        *("--scenario", "hf-noise", "--seed", "3", "--rate", "50"),
        *("--host", "0.0.0.0", "--port", "0", "--log-file", "x.log"),  # noqa: S104
        *("--redis-url", "redis://r", "--fault", "hang@1s", "--fault", "crash"),
    )
    assert given == ServiceConfig(
        scenario="hf-noise",
        seed=3,
        rate=50.0,
        host="0.0.0.0",  # noqa: S104
        port=0,
        log_file=Path("x.log"),
        redis_url="redis://r",
        faults=(parse_fault("hang@1s"), parse_fault("crash")),
    )


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["run", "--scenario", "boom"], "invalid choice: 'boom'"),
        (["run", "--rate", "0"], "0 is not within 0.1 and 5000 ticks per second"),
        (["run", "--rate", "nan"], "nan is not within 0.1 and 5000"),
        (["run", "--rate", "fast"], "could not convert string to float: 'fast'"),
        (["run", "--port", "70000"], "70000 is not within 0 and 65535"),
        (["run", "--port", "80.5"], "invalid literal for int() with base 10: '80.5'"),
        (["run", "--redis-url", "http://x"], "Redis URL must specify one of the following schemes"),
        (["run", "--redis-url", "redis://x:y"], "Port could not be cast to integer value as 'y'"),
        (["run", "--fault", "explode"], "no fault 'explode'; there are hang"),
        (["run", "--fault", "oom:1"], "1 is not within 16 and 65536 MB"),
        (["healthcheck", "--url", "ftp://x"], "'ftp://x' is not an http:// or https:// URL"),
        (["healthcheck", "--max-tick-age", "soon"], "'soon' is not a duration"),
        ([], "the following arguments are required: COMMAND"),
    ],
)
def test_wrong_usage_is_explained(arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Exit code 2, and a message that says what is wrong."""
    with pytest.raises(SystemExit) as stopped:
        cli.main(arguments)
    assert stopped.value.code == 2
    assert message in capsys.readouterr().err


def test_an_unwritable_log_file_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Exit code 73 and the reason, before anything is started."""
    assert cli.main(["run", "--log-file", str(tmp_path / "missing" / "x.log")]) == os.EX_CANTCREAT
    assert "cannot write the log file" in capsys.readouterr().err


def test_an_unhealthy_service_is_exit_code_1(capsys: pytest.CaptureFixture[str]) -> None:
    """The health check fails with the reason when nothing listens."""
    assert cli.main(["healthcheck", "--url", f"http://127.0.0.1:{free_port()}/health"]) == 1
    assert "no answer from" in capsys.readouterr().err


def test_a_taken_port_is_said() -> None:
    """Exit code 69 when another program listens on the HTTP port."""
    with socket.create_server(("127.0.0.1", 0)) as other:
        done = command("-m", "strategy_agent", "run", "--port", str(other.getsockname()[1]))
    assert done.returncode == os.EX_UNAVAILABLE
    assert "cannot listen on 127.0.0.1" in done.stderr
