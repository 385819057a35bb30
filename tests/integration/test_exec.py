"""`outrider exec` as a user sees it."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
import time

import pytest

from tests.integration.test_run import bodies_of
from tests.support.agent_process import AgentProcess, environment, outrider, wait_until
from tests.support.otlp_process import OtlpProcess

RAISING = "import sys; print('out'); sys.stdout.flush(); raise ValueError('no price')"


def execute(tmp_path, *command, **variables):
    """Run a command under `outrider exec`."""
    return outrider("exec", "--", *command, state=tmp_path / "state", **variables)


def test_output_passes_through_byte_by_byte(tmp_path):
    """Stdout and stderr come out as they went in, also bytes that are not a text and have no end of line."""
    script = "import sys; sys.stdout.buffer.write(b'a\\xff\\x00b\\n no end'); sys.stderr.buffer.write(b'oops\\r\\n')"

    result = execute(tmp_path, sys.executable, "-c", script)

    assert result.stdout == b"a\xff\x00b\n no end"
    assert result.stderr == b"oops\r\n"


@pytest.mark.parametrize(("script", "code"), [("exit 0", 0), ("exit 3", 3), ("kill -TERM $$", 128 + 15), ("kill -SEGV $$", 128 + 11)])
def test_the_exit_code_comes_back(tmp_path, script, code):
    """The child's own code, or 128 + the signal that killed it."""
    assert code == execute(tmp_path, "sh", "-c", script).returncode


@pytest.mark.parametrize(("command", "code"), [("/no/such/program", 127), ("/etc/passwd", 126)])
def test_a_command_that_cannot_start_is_told_as_a_shell_tells_it(tmp_path, command, code):
    """127 for not found, 126 for not executable, and the name in the message."""
    result = execute(tmp_path, command)

    assert code == result.returncode
    assert command in result.stderr.decode()


def test_everything_is_flushed_before_the_end(tmp_path):
    """All lines and how the process ended have arrived when exec returns."""
    with OtlpProcess(tmp_path / "store") as server:
        script = "for n in range(5000): print(f'line {n}')"
        execute(tmp_path, sys.executable, "-c", script, OTEL_EXPORTER_OTLP_ENDPOINT=server.url)

        assert [f"line {n}" for n in range(5000)] + ["process exited with code 0"] == bodies_of(server)


def test_a_traceback_is_one_record(tmp_path):
    """The lines of a traceback on stderr are joined, and its type is an attribute."""
    execute(tmp_path, sys.executable, "-c", RAISING)

    exported = outrider("spool", "export", state=tmp_path / "state").stdout.decode()
    records = [
        record
        for line in exported.splitlines()
        for resource in json.loads(line)["resourceLogs"]
        for scope in resource["scopeLogs"]
        for record in scope["logRecords"]
    ]
    found = [
        attribute["value"]["stringValue"]
        for record in records
        for attribute in record.get("attributes", [])
        if attribute["key"] == "exception.type"
    ]
    assert found == ["ValueError"]


def test_a_signal_is_forwarded(tmp_path):
    """SIGUSR1 sent to exec reaches the command."""
    script = "trap 'echo got it; exit 9' USR1; echo ready; while :; do sleep 0.05; done"
    command = [sys.executable, "-m", "agent", "exec", "--", "sh", "-c", script]
    with subprocess.Popen(command, env=environment(tmp_path / "state"), stdout=subprocess.PIPE) as process:
        assert process.stdout.readline() == b"ready\n"
        process.send_signal(signal.SIGUSR1)

        assert process.stdout.readline() == b"got it\n"
        assert process.wait(timeout=20) == 9


def test_the_childs_resources_are_measured_without_being_asked(tmp_path):
    """Exec targets the process tree of its command."""
    command = ("--", "sh", "-c", "echo up; sleep 30")
    with AgentProcess(tmp_path / "state", *command, command="exec") as agent:
        wait_until(lambda: any(one["name"] == "process.memory.usage" for one in agent.status()["figures"]), "memory of the child")
        agent.process.send_signal(signal.SIGTERM)

        assert agent.process.wait(timeout=20) == 128 + signal.SIGTERM


def test_a_reader_that_goes_away_does_not_kill_the_command(tmp_path):
    """With stdout closed at the other end the command still runs to its end, and its lines are collected."""
    command = [sys.executable, "-m", "agent", "exec", "--", "sh", "-c", "for n in 1 2 3; do echo $n; sleep 0.1; done"]
    read, write = os.pipe()
    with subprocess.Popen(command, env=environment(tmp_path / "state"), stdout=write) as process:
        os.close(read)
        os.close(write)

        assert process.wait(timeout=20) == 0
    exported = outrider("spool", "export", state=tmp_path / "state").stdout.decode()
    assert all(f'"stringValue":"{n}"' in exported for n in "123")


def test_a_closed_stdout_does_not_lead_output_into_a_file_of_ours(tmp_path):
    """With standard output closed from the start its number belongs to /dev/null, and the lines are collected."""
    command = f"{sys.executable} -m agent exec -- sh -c 'echo hello; sleep 0.2; readlink /proc/$PPID/fd/1 >&2' >&-"
    result = subprocess.run(["sh", "-c", command], env=environment(tmp_path / "state"), capture_output=True, timeout=60, check=False)

    assert (result.returncode, result.stderr) == (0, b"/dev/null\n")
    assert b'"hello"' in outrider("spool", "export", state=tmp_path / "state").stdout


@pytest.mark.parametrize("closed", ["2>&-", "<&- >&- 2>&-"])
def test_the_sidecar_runs_with_closed_descriptors(tmp_path, closed):
    """A minimal init or a cron job starts it so: it runs until it is asked to end."""
    command = f"exec {sys.executable} -m agent run {closed}"
    with subprocess.Popen(["sh", "-c", command], env=environment(tmp_path / "state")) as process:
        wait_until((tmp_path / "state" / "spool.db").exists, "it runs")
        time.sleep(1)
        assert process.poll() is None
        process.terminate()

        assert process.wait(timeout=20) == 0


def test_a_burst_of_signals_is_handed_on_one_by_one(tmp_path):
    """Queued ones are not folded, by us at least: as many as were sent come, in their order."""
    script = "import os, signal, time\ngot = []\nnumbers = (signal.SIGRTMIN + 1, signal.SIGRTMIN + 2)\n"
    script += "signal.pthread_sigmask(signal.SIG_BLOCK, numbers); print('ready', flush=True)\n"
    script += "while len(got) < 200: got.append(signal.sigwait(numbers) - signal.SIGRTMIN)\nprint(got.count(1), got.count(2))"
    command = [sys.executable, "-m", "agent", "exec", "--", sys.executable, "-c", script]
    with subprocess.Popen(command, env=environment(tmp_path / "state"), stdout=subprocess.PIPE) as process:
        assert process.stdout.readline() == b"ready\n"
        for _ in range(100):
            process.send_signal(signal.SIGRTMIN + 1)
            process.send_signal(signal.SIGRTMIN + 2)

        assert process.stdout.read() == b"100 100\n"
        assert process.wait(timeout=20) == 0


def test_a_real_time_signal_is_told_as_a_shell_tells_it(tmp_path):
    """A signal without a name of its own gives 128 + its number as well."""
    assert execute(tmp_path, "sh", "-c", "kill -35 $$").returncode == 128 + 35


def test_a_flooding_process_left_behind_does_not_hold_the_end_up(tmp_path):
    """The command's own code comes back, and the agent writes nothing to stderr."""
    over = tmp_path / "over"
    script = "import os, time\nif os.fork(): os._exit(3)\nend = time.monotonic() + 8\nwhile time.monotonic() < end: os.write(1, b'x' * 999 + b'\\n')\n"
    script += f"open({str(over)!r}, 'w').close()"
    command = [sys.executable, "-m", "agent", "exec", "--", sys.executable, "-c", script]
    with subprocess.Popen(command, env=environment(tmp_path / "state"), stdout=subprocess.DEVNULL, stderr=subprocess.PIPE) as process:
        assert (process.wait(timeout=30), over.exists()) == (3, False)
        assert process.stderr.read() == b""


def test_a_traceback_at_the_end_of_a_log_file_is_stored(tmp_path):
    """The last lines of a log file mostly explain the end: they are stored although a traceback counts as complete only after a while."""
    log = tmp_path / "app.log"
    script = f"import logging; logging.basicConfig(filename={str(log)!r}, format='%(asctime)s %(levelname)s %(name)s: %(message)s')\n"
    script += "try: 1 / 0\nexcept ZeroDivisionError: logging.exception('it broke')"
    with OtlpProcess(tmp_path / "store") as server:
        variables = {"OUTRIDER_LOG_FILES": str(log), "OTEL_EXPORTER_OTLP_ENDPOINT": server.url}
        execute(tmp_path, sys.executable, "-c", script, **variables)

        assert sorted(bodies_of(server)) == ["it broke", "process exited with code 0"]


@pytest.mark.alone
def test_sigterm_is_not_held_up_by_a_destination_that_hangs(tmp_path):
    """A command that was asked to end is not outlived by the grace for a destination that does not answer; its output is stored."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        endpoint = f"http://127.0.0.1:{silent.getsockname()[1]}"
        command = ("--", "sh", "-c", "echo working; exec sleep 60")
        with AgentProcess(tmp_path / "state", *command, command="exec", OTEL_EXPORTER_OTLP_ENDPOINT=endpoint) as agent:
            agent.process.stdout.readline()
            began = time.monotonic()
            agent.process.terminate()
            code = agent.process.wait(timeout=30)
            took = time.monotonic() - began

    assert code == 128 + signal.SIGTERM
    assert took < 5  # 1.7 s on a machine that has time; ten more if it waits for an answer
    exported = outrider("spool", "export", state=tmp_path / "state").stdout.decode()
    assert "working" in exported
    assert "process killed by SIGTERM" in exported


def test_a_command_that_says_nothing_any_more_is_waited_for(tmp_path):
    """It has closed both outputs and works on, longer than storing may take: its end is its own, and its code comes back."""
    done, code = tmp_path / "done", "from agent.exec import observed; observed.STORING = 0.5; from agent.__main__ import main; main()"
    script = f"echo begun; exec >&- 2>&-; sleep 4; touch {done}; exit 6"
    command = [sys.executable, "-c", code, "exec", "--", "sh", "-c", script]
    result = subprocess.run(command, env=environment(tmp_path / "state"), capture_output=True, timeout=60, check=False)

    assert (result.returncode, result.stdout, done.exists()) == (6, b"begun\n", True)


def test_a_daemon_left_behind_goes_on_to_write_into_our_output(tmp_path):
    """The command ends at once and so do we; who reads our output gets what the daemon writes, to its end, each line once and in order."""
    script = "import os, time\nif os.fork(): os.write(1, b'parent\\n'); os._exit(4)\nos.setsid()\n"
    script += "for n in range(30): os.write(1, b'daemon %d\\n' % n); time.sleep(0.1)\nopen('DONE', 'w').close()"
    command = [sys.executable, "-m", "agent", "exec", "--", sys.executable, "-c", script.replace("DONE", str(tmp_path / "done"))]
    with subprocess.Popen(command, env=environment(tmp_path / "state"), stdout=subprocess.PIPE) as process:
        code = process.wait(timeout=20)
        running = not (tmp_path / "done").exists()
        said = process.stdout.read().split(b"\n")

    assert (code, running, (tmp_path / "done").exists()) == (4, True, True)
    assert sorted(said[:2]) == [b"daemon 0", b"parent"]
    assert said[2:] == [*(b"daemon %d" % n for n in range(1, 30)), b""]
    records, dropped = stored_and_dropped(tmp_path)
    assert len([body for body in records if body.startswith("daemon")]) + dropped["not_collected"] == 30
    assert not list((tmp_path / "state").glob("left-behind.*"))


def stored_and_dropped(tmp_path):
    """The bodies that are stored, and what a later agent says was lost of commands' output."""
    exported = outrider("spool", "export", state=tmp_path / "state").stdout.decode()
    with AgentProcess(tmp_path / "state", "--", "sleep", "30", command="exec") as agent:
        [source] = [one for one in agent.status()["sources"] if one["name"] == "child"]
        agent.process.terminate()
        agent.process.wait(timeout=20)
    return re.findall(r'"body":{"stringValue":"([^"]*)"', exported), source["drops"]
