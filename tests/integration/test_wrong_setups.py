"""Set-ups as they go wrong in the field: each gives one message, in `check` or at the start, that names the place and what to do."""

from __future__ import annotations

import contextlib
import datetime as dt
import http.server
import os
import socket
import ssl
import threading
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import pytest
import trustme
from click.testing import CliRunner

from agent.cli import cli
from tests.support.agent_process import AgentProcess, outrider, wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

NOBODY = 65534
HTTP2_SETTINGS = b"\0\0\x06\x04\0\0\0\0\0\0\x03\0\0\0\x64"
"""The first bytes that a gRPC server sends."""


@dataclass(frozen=True)
class SetUp:
    """Variables and perhaps a file, in which `{dir}`, `{port}` and the names of servers are replaced; and the expected messages."""

    name: str
    says: tuple[str, ...]
    """Pieces of the one complaint: place, cause, fix."""
    env: dict[str, str] = field(default_factory=dict)
    file: str = ""
    send: bool = False
    code: int = 78
    arguments: tuple[str, ...] = ()


def to(url: str, **more: str) -> dict[str, str]:
    """Logs sent to a URL."""
    return {"OTEL_EXPORTER_OTLP_LOGS_ENDPOINT": url, **more}


CA = {"OTEL_EXPORTER_OTLP_CERTIFICATE": "{dir}/ca.pem"}
SET_UPS = [
    SetUp(
        "nothing listens",
        ("http://127.0.0.1:{free}/v1/logs", "connection refused", "start the server, or check host and port"),
        to("http://127.0.0.1:{free}/v1/logs"),
        send=True,
        code=69,
    ),
    SetUp(
        "no such host",
        ("http://collector.invalid:4318/v1/logs", "can't resolve collector.invalid", "check the host's name"),
        to("http://collector.invalid:4318/v1/logs"),
        send=True,
        code=69,
    ),
    SetUp("a port for gRPC", ("{grpc}/v1/logs", "looks like gRPC; OTLP/HTTP is usually 4318"), to("{grpc}/v1/logs"), send=True, code=69),
    SetUp(
        "the path twice",
        ("endpoint ends in /v1/logs, which is left out",),
        {"OTEL_EXPORTER_OTLP_ENDPOINT": "{ok}/v1/logs", "OTEL_METRICS_EXPORTER": "none"},
        send=True,
        code=0,
    ),
    SetUp("a wrong path", ("{missing}/v1/logz", "HTTP 404", "check the path of the endpoint"), to("{missing}/v1/logz"), send=True, code=69),
    SetUp("a wrong token", ("HTTP 401", "check the credentials in headers"), to("{denied}/v1/logs"), send=True, code=69),
    SetUp("a redirect", ("HTTP 301", "redirected to https://elsewhere.example/v1/logs"), to("{moved}/v1/logs"), send=True, code=69),
    SetUp("TLS to plain", ("does not speak TLS on this port", "write http://"), to("https{ok_port}/v1/logs"), send=True, code=69),
    SetUp("plain to TLS", ("http{tls_port}/v1/logs", "write https://"), to("http{tls_port}/v1/logs"), send=True, code=69),
    SetUp("an expired certificate", ("has expired", "renew it"), to("https{old_port}/v1/logs", **CA), send=True, code=69),
    SetUp("an unknown authority", ("not trusted", "ca_file under tls"), to("https{tls_port}/v1/logs"), send=True, code=69),
    SetUp("a certificate for another name", ("not valid for", "server_name"), to("https{other_port}/v1/logs", **CA), send=True, code=69),
    SetUp(
        "an authority that is none",
        ("{dir}/text", "must be PEM"),
        to("https://h/v1/logs", OTEL_EXPORTER_OTLP_CERTIFICATE="{dir}/text"),
        code=0,
    ),
    SetUp(
        "a missing authority",
        ("OTEL_EXPORTER_OTLP_CERTIFICATE", "no such file: /no/ca.pem", "correct the path"),
        to("https://h/v1/logs", OTEL_EXPORTER_OTLP_CERTIFICATE="/no/ca.pem"),
    ),
    SetUp(
        "an endpoint without a scheme",
        ("OTEL_EXPORTER_OTLP_ENDPOINT", "write http://collector:4318"),
        {"OTEL_EXPORTER_OTLP_ENDPOINT": "collector:4318"},
    ),
    SetUp(
        "a DSN without a project", ("SENTRY_DSN", "names no project", "https://KEY@HOST/PROJECT"), {"SENTRY_DSN": "https://key@sentry.io"}
    ),
    SetUp("a DSN of another server", ("HTTP 404", "the DSN's host and project"), {"SENTRY_DSN": "{missing_dsn}"}, send=True, code=69),
    SetUp("a mistyped variable", ("OUTRIDER_LOGFILES", "did you mean 'OUTRIDER_LOG_FILES'?"), {"OUTRIDER_LOGFILES": "x"}, code=0),
    SetUp(
        "a mistyped standard variable",
        ("OTEL_EXPORTER_OTLP_HEADER", "did you mean 'OTEL_EXPORTER_OTLP_HEADERS'?"),
        to("{ok}/v1/logs", OTEL_EXPORTER_OTLP_HEADER="a=b"),
        code=0,
    ),
    SetUp("a missing token", ("OUTRIDER_TOKEN_FILE", "cannot read {dir}/none", "create it"), {"OUTRIDER_TOKEN_FILE": "{dir}/none"}),
    SetUp("pages for everybody", ("OUTRIDER_LISTEN", "OUTRIDER_INSECURE=true", "OUTRIDER_TOKEN_FILE"), {"OUTRIDER_LISTEN": "0.0.0.0:9464"}),
    SetUp("a mistyped glob", ("source log_files", "no file matches {dir}/*.lgo"), {"OUTRIDER_LOG_FILES": "{dir}/*.lgo"}, code=0),
    SetUp("a home directory", ("OUTRIDER_LOG_FILES", "begins with ~", "write the whole path"), {"OUTRIDER_LOG_FILES": "~/a.log"}),
    SetUp(
        "a probe without a scheme", ("OUTRIDER_PROBES", "write http://localhost:8080/health"), {"OUTRIDER_PROBES": "localhost:8080/health"}
    ),
    SetUp("a target that is not one", ("OUTRIDER_TARGET", "write pid:N, pidfile:PATH, name:REGEX"), {"OUTRIDER_TARGET": "app.py"}),
    SetUp("a target that is away", ("pidfile:{dir}/none", "the file can't be read"), {"OUTRIDER_TARGET": "pidfile:{dir}/none"}, code=0),
    SetUp(
        "a state directory that is a file",
        ("{dir}/text is not a directory", "OUTRIDER_STATE_DIR"),
        {"OUTRIDER_STATE_DIR": "{dir}/text"},
        code=69,
    ),
    SetUp("a configuration that is away", ("{dir}/none.yaml", "No such file", "name a file"), arguments=("-c", "{dir}/none.yaml")),
    SetUp("wrong indentation", ("c.yaml:3:", "is not YAML", "check indentation"), file="exporters:\n- type: console\n   stream: stderr\n"),
    SetUp(
        "a type of another program", ("c.yaml:1:", "did you mean 'otlp_http'?"), file="exporters: [{{type: otlp, endpoint: 'http://h'}}]\n"
    ),
    SetUp("a variable that is not set", ("c.yaml:1:", "TOKEN is not set"), file="server: {{bearer_token: '${{TOKEN}}'}}\n"),
    SetUp("an open bracket", ("c.yaml:1:", "missing ]: [ERROR", "close it"), file="errors: {{patterns: ['[ERROR']}}\n"),
    SetUp("a mistyped option", ("c.yaml:1:", "did you mean 'listen'?"), file="server: {{lisen: '127.0.0.1:1'}}\n"),
]


class Answer(http.server.BaseHTTPRequestHandler):
    """Gives the configured answers."""

    status = 200
    location = ""

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers.get("content-length", 0)))
        self.send_response(self.status)
        self.send_header("content-length", "0")
        if self.location:
            self.send_header("location", self.location)
        self.end_headers()

    def log_message(self, *_arguments: object) -> None:
        """Keep quiet."""


class Servers:
    """The servers that set-ups name."""

    def __init__(self, directory: Path) -> None:
        self._stack = contextlib.ExitStack()
        self.names = {"dir": str(directory), "free": str(self._free_port())}
        for name, status in (("ok", 200), ("missing", 404), ("denied", 401), ("moved", 301)):
            self.names[name] = f"http://127.0.0.1:{self._serve(status)}"
        self.names["missing_dsn"] = self.names["missing"].replace("//", "//key@") + "/7"
        self.names["ok_port"] = self.names["ok"].removeprefix("http")
        self.names["grpc"] = f"http://127.0.0.1:{self._greet(HTTP2_SETTINGS)}"
        authority = trustme.CA()
        authority.cert_pem.write_to_path(str(directory / "ca.pem"))
        (directory / "text").write_text("not a certificate\n")
        now = dt.datetime.now(dt.UTC)
        expired = {"not_before": now - dt.timedelta(days=9), "not_after": now - dt.timedelta(days=2)}
        certificates = {
            "tls_port": authority.issue_cert("127.0.0.1"),
            "old_port": authority.issue_cert("127.0.0.1", **expired),
            "other_port": authority.issue_cert("other.example"),
        }
        self.names |= {name: f"://127.0.0.1:{self._serve(200, certificate)}" for name, certificate in certificates.items()}

    def close(self) -> None:
        """Stop them."""
        self._stack.close()

    def _free_port(self) -> int:
        with socket.socket() as one:
            one.bind(("127.0.0.1", 0))
            return int(one.getsockname()[1])

    def _serve(self, status: int, certificate: trustme.LeafCert | None = None) -> int:
        handler = type("Handler", (Answer,), {"status": status, "location": "https://elsewhere.example/v1/logs" if status == 301 else ""})
        server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
        server.handle_error = lambda *_: None  # type: ignore[method-assign] - a handshake that fails is meant to
        if certificate is not None:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            certificate.configure_cert(context)
            server.socket = context.wrap_socket(server.socket, server_side=True)
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        self._stack.callback(thread.join)
        self._stack.callback(server.server_close)
        self._stack.callback(server.shutdown)
        return int(server.server_address[1])

    def _greet(self, words: bytes) -> int:
        """A server that speaks first and in another protocol."""
        listener = socket.create_server(("127.0.0.1", 0))

        def accept() -> None:
            with contextlib.suppress(OSError):
                while True:
                    with listener.accept()[0] as one:
                        one.sendall(words)
                        one.settimeout(2)
                        with contextlib.suppress(OSError):
                            one.recv(1 << 16)

        thread = threading.Thread(target=accept)
        thread.start()
        self._stack.callback(thread.join)
        self._stack.callback(listener.close)
        self._stack.callback(lambda: listener.shutdown(socket.SHUT_RDWR))
        return int(listener.getsockname()[1])


@pytest.fixture(scope="module")
def names(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """Where the servers are."""
    servers = Servers(tmp_path_factory.mktemp("set-ups"))
    yield servers.names
    servers.close()


@pytest.fixture
def clean(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """An environment without anything for us."""
    for name in [name for name in os.environ if name.startswith(("OTEL_", "SENTRY_", "OUTRIDER_")) or name.lower().endswith("_proxy")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("OUTRIDER_STATE_DIR", str(tmp_path / "state"))


def complaints(output: str) -> list[str]:
    """The lines that are not well."""
    return [line for line in output.splitlines() if line.startswith(("FAIL", "outrider:")) or "warning: " in line]


@pytest.mark.usefixtures("clean")
@pytest.mark.parametrize("setup", SET_UPS, ids=lambda setup: setup.name)
def test_check_says_what_is_wrong(setup: SetUp, names: dict[str, str], tmp_path: Path):
    """`outrider check` gives one complaint, which names the place and what to do, and the exit code of its kind."""
    arguments = [*setup.arguments, *(["--send"] if setup.send else [])]
    if setup.file:
        (tmp_path / "c.yaml").write_text(setup.file.format(**names))
        arguments += ["-c", str(tmp_path / "c.yaml")]
    env = {name: value.format(**names) for name, value in setup.env.items()}
    result = CliRunner().invoke(cli, ["check", *(one.format(**names) for one in arguments)], env=env)
    (line,) = complaints(result.stdout + result.stderr)
    for words in setup.says:
        assert words.format(**names) in line
    assert result.exit_code == setup.code
    assert "b'" not in line


@contextlib.contextmanager
def as_another_user() -> Iterator[None]:
    """Without root's rights: as another user, if we are root. (Our own file with mode 0 is as good if we are not.)"""
    if os.geteuid() != 0:
        yield
        return
    os.seteuid(NOBODY)
    try:
        yield
    finally:
        os.seteuid(0)


@pytest.mark.usefixtures("clean")
@pytest.mark.parametrize("what", ["file", "directory", "state directory", "configuration"])
def test_check_as_another_user(what: str, tmp_path: Path):
    """A file or directory that a user other than root may not read or write is one complaint that names it and the user."""
    for parent in (tmp_path, *tmp_path.parents):
        if parent.stat().st_mode & 0o777 == 0o700:  # pytest's own, for its user alone
            parent.chmod(0o755)
    (tmp_path / "logs" / "app").mkdir(parents=True)
    for name in ("a.log", "b.log", "app/c.log"):
        (tmp_path / "logs" / name).write_text("x\n")
    (tmp_path / "c.yaml").write_text("{}\n")
    closed = {
        "file": tmp_path / "logs" / "b.log",
        "directory": tmp_path / "logs" / "app",
        "state directory": tmp_path / "logs",
        "configuration": tmp_path / "c.yaml",
    }[what]
    env = {"OUTRIDER_LOG_FILES": f"{tmp_path}/logs/**/*.log"} if what in ("file", "directory") else {}
    env["OUTRIDER_STATE_DIR"] = str(tmp_path / "logs" / "state" if what == "state directory" else tmp_path / "state")
    (tmp_path / "state").mkdir(mode=0o777)
    (tmp_path / "state").chmod(0o777)
    arguments = ["check", *(["-c", str(closed)] if what == "configuration" else [])]
    CliRunner().invoke(cli, arguments, env=env)  # loads what it needs, as long as we may read it
    closed.chmod(0o555 if what == "state directory" else 0)
    try:
        with as_another_user():
            user = os.geteuid()
            result = CliRunner().invoke(cli, arguments, env=env)
    finally:
        closed.chmod(0o755)
    (line,) = complaints(result.stdout + result.stderr)
    assert str(closed) in line
    assert f"user {user}" in line
    assert result.exit_code == {"state directory": 69, "configuration": 78}.get(what, 0)


def test_two_agents_on_one_state_directory(tmp_path: Path):
    """The second one ends with one line that names the first one, the directory and what to do."""
    with AgentProcess(tmp_path / "state") as first:
        second = outrider("run", state=tmp_path / "state")
    (line,) = second.stderr.decode().splitlines()
    assert second.returncode == 73
    assert f"{tmp_path}/state is in use by process {first.process.pid}" in line
    assert "give this agent another state directory" in line


def test_a_port_in_use(tmp_path: Path):
    """An agent whose port is taken ends with one line that names the port and the variable."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        found = outrider("run", state=tmp_path / "state", OUTRIDER_LISTEN=address)
    lines = [line for line in found.stderr.decode().splitlines() if line.startswith("outrider:")]
    assert found.returncode == 69
    assert len(lines) == 1
    assert f"can't listen on {address}: Address already in use; give server.listen (OUTRIDER_LISTEN) another address" in lines[0]


def test_a_running_agent_says_it_once(tmp_path: Path):
    """A glob that matches nothing and a destination that is away are in `status`, with a reason and a fix, and not a line for each scan."""
    glob = f"{tmp_path}/*.lgo"
    endpoint = f"http://127.0.0.1:{Servers._free_port(None)}/v1/logs"  # type: ignore[arg-type] - it needs none
    (tmp_path / "a.log").write_text("x\n")
    variables = {"OUTRIDER_LOG_FILES": f"{tmp_path}/a.log,{glob}", "OTEL_EXPORTER_OTLP_LOGS_ENDPOINT": endpoint}

    def reasons() -> list[str]:
        status = agent.status()
        return status["verdict"]["reasons"] if status else []  # type: ignore[index,no-any-return,call-overload]

    with AgentProcess(tmp_path / "state", **variables) as agent:
        wait_until(lambda: any(glob in reason for reason in reasons()), "the glob is in the status")
        wait_until(lambda: any(endpoint in reason and "start the server" in reason for reason in reasons()), "so is the destination")
        agent.wait_for_event("no file matches")
        notices = agent.status()["notices"]  # type: ignore[index]
    events = [one["event"] for one in agent.events()]
    assert events.count("no file matches") == 1
    assert events.count("export delayed") <= 2
    assert sorted({one["name"] for one in notices}) == ["export delayed", "no file matches"]  # type: ignore[attr-defined,index]


@pytest.mark.parametrize("arguments", [("run", "--confg", "x"), ("exec",), ("nothing",)])
def test_a_wrong_command_line(arguments: tuple[str, ...], tmp_path: Path):
    """A command line that is not understood ends with EX_USAGE (sysexits.h), not with an exit code that a command may have."""
    found = outrider(*arguments, state=tmp_path / "state")
    assert found.returncode == 64
    assert b"Error: " in found.stderr


def test_nothing_to_do(tmp_path: Path):
    """An agent without anything to read or measure runs, and says what to set."""
    with AgentProcess(tmp_path / "state") as agent:
        said = agent.wait_for_event("nothing to do")
    assert "OUTRIDER_LOG_FILES" in str(said["remedy"])
    with AgentProcess(tmp_path / "other", OUTRIDER_PROBES="tcp://127.0.0.1:1") as agent:
        agent.wait_for_event("agent started")
        wait_until(lambda: agent.status()["probes"], "the probe looks")  # type: ignore[index]
        assert all(one["event"] != "nothing to do" for one in agent.events())
