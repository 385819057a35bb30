"""`outrider run` as a user sees it: real processes, real files, a real server."""

from __future__ import annotations

import json
import re
import signal
import socket
import subprocess
import time

import pytest

from agent.testing.otlp_server import decode
from tests.support.agent_process import AgentProcess, outrider, wait_until
from tests.support.otlp_process import OtlpProcess


def bodies_of(server):
    """The bodies of all log records that the server accepted, in order. A request that came again, byte for byte, counts once: a kill may do that."""
    found = []
    for body in dict.fromkeys(server.bodies()):
        for resource in decode("/v1/logs", body).resource_logs:
            found += [record.body.string_value for scope in resource.scope_logs for record in scope.log_records]
    return found


def write(path, *events):
    """Append structlog lines."""
    with path.open("a") as file:
        for event in events:
            file.write(json.dumps({"event": event, "level": "info", "timestamp": "2026-03-01T12:00:00Z"}) + "\n")


@pytest.fixture
def logs(tmp_path):
    """A folder with one log file of three lines."""
    folder = tmp_path / "logs"
    folder.mkdir()
    write(folder / "app.log", "one", "two", "three")
    return folder


def variables(logs, server):
    """The zero-config environment."""
    return {"OUTRIDER_LOG_FILES": f"{logs}/*.log", "OTEL_EXPORTER_OTLP_ENDPOINT": server.url, "OTEL_SERVICE_NAME": "demo"}


def test_lines_reach_the_server_and_go_on_after_a_kill(tmp_path, logs):
    """The lines of a file arrive once and in order, with a SIGKILL in between."""
    with OtlpProcess(tmp_path / "store") as server:
        with AgentProcess(tmp_path / "state", **variables(logs, server)) as agent:
            wait_until(lambda: len(bodies_of(server)) == 3, "three records")
            agent.process.kill()
            agent.process.wait()
        write(logs / "app.log", "four")
        with AgentProcess(tmp_path / "state", **variables(logs, server)):
            wait_until(lambda: len(bodies_of(server)) >= 4, "the fourth record")

        assert bodies_of(server) == ["one", "two", "three", "four"]


def test_the_resource_says_whose_records_they_are(tmp_path, logs):
    """Every request carries service.name from OTEL_SERVICE_NAME."""
    with OtlpProcess(tmp_path / "store") as server, AgentProcess(tmp_path / "state", **variables(logs, server)):
        wait_until(lambda: len(bodies_of(server)) == 3, "three records")
        request = decode("/v1/logs", next(iter(server.bodies())))

    attributes = {pair.key: pair.value.string_value for pair in request.resource_logs[0].resource.attributes}
    assert attributes["service.name"] == "demo"


@pytest.mark.alone
def test_sigterm_with_a_dead_destination_ends_within_two_seconds_and_keeps_everything(tmp_path, logs):
    """No server listens; the agent exits 0 in time, and the next one delivers."""
    dead = {"OUTRIDER_LOG_FILES": f"{logs}/*.log", "OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:9"}
    with AgentProcess(tmp_path / "state", **dead) as agent:
        wait_until(lambda: any(one["accepted"] == 3 for one in agent.status()["sources"]), "three records stored")
        began = time.monotonic()
        agent.process.send_signal(signal.SIGTERM)

        assert agent.process.wait(timeout=10) == 0
        assert time.monotonic() - began <= 2.0

    with OtlpProcess(tmp_path / "store") as server, AgentProcess(tmp_path / "state", **variables(logs, server)):
        wait_until(lambda: bodies_of(server), "the records")
        assert bodies_of(server) == ["one", "two", "three"]


def test_a_second_agent_on_the_directory_is_refused(tmp_path, logs):
    """It exits 73 and names the first one's process."""
    with OtlpProcess(tmp_path / "store") as server, AgentProcess(tmp_path / "state", **variables(logs, server)) as agent:
        second = outrider("run", state=tmp_path / "state")

        assert second.returncode == 73
        assert str(agent.process.pid) in second.stderr.decode()


def test_a_wrong_configuration_is_told_whole_with_code_78(tmp_path):
    """Every fault at once, each with file, line and column."""
    config = tmp_path / "wrong.yaml"
    config.write_text("servce:\n  name: x\nsources:\n  - type: log_files\n    include: 5\n  - type: log_flies\n")

    result = outrider("run", "--config", str(config), state=tmp_path / "state")

    text = result.stderr.decode()
    assert result.returncode == 78
    assert all(f"{config}:{line}:" in text for line in (1, 5, 6))


def reload_case(tmp_path, logs, server, config_text):
    """Start with a good file, replace it, send SIGHUP."""
    config = tmp_path / "outrider.yaml"
    base = f"exporters:\n  - type: otlp_http\n    endpoint: {server.url}\n"
    config.write_text(base + f"sources:\n  - type: log_files\n    include: ['{logs}/app.log']\n")
    agent = AgentProcess(tmp_path / "state", "--config", str(config))
    return agent, config, base + config_text


def test_sighup_takes_a_good_configuration(tmp_path, logs):
    """After the reload a new glob is followed, and what was read before is not read again."""
    write(logs / "other.log", "from the other file")
    with OtlpProcess(tmp_path / "store") as server:
        agent, config, fresh = reload_case(tmp_path, logs, server, f"sources:\n  - type: log_files\n    include: ['{logs}/*.log']\n")
        with agent:
            wait_until(lambda: len(bodies_of(server)) == 3, "three records")
            config.write_text(fresh)
            agent.process.send_signal(signal.SIGHUP)
            wait_until(lambda: len(bodies_of(server)) >= 4, "the other file's record")

            assert bodies_of(server) == ["one", "two", "three", "from the other file"]


def test_sighup_keeps_the_old_configuration_when_the_new_one_is_bad(tmp_path, logs):
    """The refusal is reported with its reason, and the old pipeline continues."""
    with OtlpProcess(tmp_path / "store") as server:
        agent, config, fresh = reload_case(tmp_path, logs, server, "sources:\n  - type: nonsense\n")
        with agent:
            config.write_text(fresh)
            agent.process.send_signal(signal.SIGHUP)
            refusal = agent.wait_for_event("configuration refused")
            write(logs / "app.log", "four")
            wait_until(lambda: len(bodies_of(server)) == 4, "the fourth record")

            assert "nonsense" in str(refusal["error"])


@pytest.fixture
def taken():
    """A port that another process listens on."""
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        yield other.getsockname()[1]


def test_sighup_goes_back_to_the_old_configuration_when_the_new_one_cannot_listen(tmp_path, logs, taken):
    """The address is known to be taken only after the old pipeline has ended: it is started again, and nothing is lost."""
    with OtlpProcess(tmp_path / "store") as server:
        fresh = f"server: {{listen: '127.0.0.1:{taken}'}}\nsources:\n  - type: log_files\n    include: ['{logs}/app.log']\n"
        agent, config, fresh = reload_case(tmp_path, logs, server, fresh)
        with agent:
            config.write_text(fresh)
            agent.process.send_signal(signal.SIGHUP)
            refusal = agent.wait_for_event("configuration refused")
            write(logs / "app.log", "four")
            wait_until(lambda: len(bodies_of(server)) == 4, "the fourth record")
            agent.process.send_signal(signal.SIGTERM)

            assert f"127.0.0.1:{taken}: Address already in use" in str(refusal["error"])
            assert agent.process.wait(timeout=10) == 0


def test_sighup_tells_what_only_a_restart_changes_and_frees_the_rows_of_a_destination_that_is_gone(tmp_path, logs):
    """The quota is named in the log; the removed exporter is an orphan from then on, and can be forgotten."""
    config = tmp_path / "outrider.yaml"
    base = f"sources:\n  - type: log_files\n    include: ['{logs}/app.log']\n"
    config.write_text(base + "exporters:\n  - {type: otlp_http, name: gone, endpoint: 'http://127.0.0.1:9'}\n")
    with AgentProcess(tmp_path / "state", "--config", str(config)) as agent:
        wait_until(lambda: any(one["accepted"] == 3 for one in agent.status()["sources"]), "three records stored")
        config.write_text(base + "spool: {quota: 2GiB}\n")
        agent.process.send_signal(signal.SIGHUP)
        reloaded = agent.wait_for_event("configuration reloaded")
        wait_until(lambda: not agent.status()["destinations"], "the new pipeline")
        gone = ("spool", "gc", "gone")
        wait_until(lambda: b"records wait for 'gone'" in outrider(*gone, state=tmp_path / "state").stderr, "what waits is not given up")
        forgotten = outrider("spool", "gc", "--force", "gone", state=tmp_path / "state")

        assert reloaded["later"] == "spool"
        assert (forgotten.returncode, forgotten.stdout.startswith(b"gone: forgotten; ")) == (0, True)
        assert not agent.status()["violations"]


def test_a_stop_is_not_undone_by_a_reload_that_comes_after_it(tmp_path, logs):
    """SIGTERM, then SIGHUP while the agent still tries to send: it ends nevertheless."""
    config = tmp_path / "outrider.yaml"
    config.write_text(
        f"sources:\n  - type: log_files\n    include: ['{logs}/app.log']\nexporters:\n  - {{type: otlp_http, endpoint: 'http://127.0.0.1:9'}}\n"
    )
    with AgentProcess(tmp_path / "state", "--config", str(config)) as agent:
        wait_until(lambda: any(one["accepted"] == 3 for one in agent.status()["sources"]), "three records stored")
        agent.process.send_signal(signal.SIGTERM)
        agent.wait_for_event("agent stopping")
        agent.process.send_signal(signal.SIGHUP)

        assert agent.process.wait(timeout=10) == 0


def test_a_taken_address_is_told_in_one_line(tmp_path, taken):
    """Exit code 69, the address, and what to set; no traceback."""
    result = outrider("run", state=tmp_path / "state", OUTRIDER_LISTEN=f"127.0.0.1:{taken}")

    [line] = result.stderr.decode().splitlines()
    assert result.returncode == 69
    assert f"127.0.0.1:{taken}: Address already in use" in line
    assert "OUTRIDER_LISTEN" in line


def test_a_state_directory_that_cannot_be_made_is_told_in_one_line(tmp_path):
    """Exit code 69 with the directory's name."""
    (tmp_path / "file").touch()

    result = outrider("run", state=tmp_path / "file" / "state")

    [line] = result.stderr.decode().splitlines()
    assert result.returncode == 69
    assert str(tmp_path / "file" / "state") in line


def test_commands_ask_the_running_agent(tmp_path, logs):
    """status, logs, healthcheck and spool stat answer over the control socket."""
    with OtlpProcess(tmp_path / "store") as server, AgentProcess(tmp_path / "state", **variables(logs, server)):
        wait_until(lambda: len(bodies_of(server)) == 3, "three records")
        status, logs_, health, stat = (
            outrider(*words, state=tmp_path / "state")
            for words in (("status",), ("logs", "--json"), ("healthcheck",), ("spool", "stat", "--json"))
        )

    assert [one.returncode for one in (status, logs_, health, stat)] == [0, 0, 0, 0]
    assert "otlp_http logs" in status.stdout.decode()
    assert [json.loads(line)["body"] for line in logs_.stdout.splitlines()] == ["one", "two", "three"]
    assert json.loads(stat.stdout)["state"] == "ok"


def test_commands_without_an_agent_say_so(tmp_path):
    """Exit code 69 with what to do, and 1 for the health check."""
    status, health = outrider("status", state=tmp_path), outrider("healthcheck", state=tmp_path)

    assert (status.returncode, health.returncode) == (69, 1)
    assert "outrider run" in status.stderr.decode()


def test_check_send_says_what_each_destination_answers(tmp_path):
    """One destination takes the test record, the other is not there: exit code 69 and a line each."""
    with OtlpProcess(tmp_path / "store") as server:
        config = tmp_path / "c.yaml"
        config.write_text(
            f"exporters:\n  - {{type: otlp_http, name: good, endpoint: '{server.url}'}}\n  - {{type: otlp_http, name: bad, endpoint: 'http://127.0.0.1:9'}}\n"
        )
        result = outrider("check", "--send", "--config", str(config), state=tmp_path / "state")

    lines = result.stdout.decode().splitlines()
    assert result.returncode == 69
    assert any(line.startswith("ok") and "destination good" in line for line in lines)
    assert any(line.startswith("FAIL") and "destination bad" in line for line in lines)


def test_standard_input_goes_on_over_a_reload_and_its_rest_is_stored_at_the_end(tmp_path):
    """The line that a reload cuts is one record; the half line at the end is one as well."""
    config = tmp_path / "outrider.yaml"
    config.write_text("sources:\n  - {type: stdin}\n")
    with AgentProcess(tmp_path / "state", "--config", str(config), stdin=subprocess.PIPE) as agent:
        say(agent, b"one\ntw")
        wait_until(lambda: accepted(agent) == 1, "the first record")
        agent.process.send_signal(signal.SIGHUP)
        agent.wait_for_event("configuration reloaded")
        agent.process.send_signal(signal.SIGHUP)
        agent.process.send_signal(signal.SIGHUP)
        say(agent, b"o\nthr")
        wait_until(lambda: accepted(agent) == 2, "the second record")
        agent.process.send_signal(signal.SIGTERM)
        assert agent.process.wait(timeout=10) == 0
        agent.process.stdin.close()

    exported = outrider("spool", "export", state=tmp_path / "state").stdout.decode()
    assert re.findall(r'"body":\{"stringValue":"(\w+)"', exported) == ["one", "two", "thr"]


def say(agent, text):
    """Write to the agent's standard input."""
    agent.process.stdin.write(text)
    agent.process.stdin.flush()


def accepted(agent):
    """Records stored so far; 0 while no agent answers, as between two configurations."""
    status = agent.status()
    return sum(one["accepted"] for one in status["sources"]) if status else 0
