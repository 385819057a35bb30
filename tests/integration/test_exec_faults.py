"""`outrider exec` when something is wrong: the command is to notice nothing, and what is lost is counted."""

from __future__ import annotations

import json
import os
import pty
import re
import select
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from agent.errors import UnavailableError
from agent.host.control import NotRunningError, ask_json
from tests.integration.test_run import bodies_of
from tests.support.agent_process import AgentProcess, environment, outrider, wait_until
from tests.support.otlp_process import OtlpProcess

pytestmark = pytest.mark.integration

STUCK = """
import os, apsw
from agent.spool import database, opening

def failing(real):
    def call(self, *given, **named):
        if os.path.exists(os.environ["BROKEN"]):
            raise apsw.IOError("the test's")
        return real(self, *given, **named)
    return call

database.Database.begin = failing(database.Database.begin)
opening.open_tables = failing(opening.open_tables)
"""
"""A store that can be neither written nor opened again while the file BROKEN exists."""

CRASHING = """
from agent.host.generation import Generation

async def crash(self, *_):
    self._command.attach(self._builder.intake("child", replayable=False).emit, self._life)
    raise RuntimeError("a mistake of ours")

Generation._take_in = crash
"""

THREADLESS = """
import threading
real = threading.Thread.start

def start(thread):
    if thread.name == "relay-2":
        raise RuntimeError("can't start new thread")
    real(thread)

threading.Thread.start = start
"""
"""The effect of a limit of processes (pids.max), at the worst moment."""

MAIN = "\nfrom agent.__main__ import main\nmain()"


def popen(tmp_path, *command, agent=("-m", "agent"), options=(), **given):
    """Start a command under `exec`."""
    variables = given.pop("variables", {})
    whole = [sys.executable, *agent, "exec", *options, "--", *command]
    return subprocess.Popen(whole, env=environment(tmp_path / "state", **variables), **given)


def wait_for(path):
    """Python that waits for a file."""
    return f"import os, time\nwhile not os.path.exists({str(path)!r}): time.sleep(0.01)\n"


def test_a_store_that_is_stuck_holds_no_output_up_and_what_is_given_up_is_counted(tmp_path):
    """While nothing can be stored all output passes; when the store is back, stored and counted lines together are the output."""
    broken, go, back = (tmp_path / name for name in ("broken", "go", "back"))
    config = tmp_path / "c.yaml"
    config.write_text("exec: {buffer: 256KiB, patience: 100ms}\n")
    flood = "import sys\nsys.stdout.write(''.join('%099d\\n' % n for n in range(40_000)))\nsys.stdout.flush()\n"
    script = "print('first', flush=True)\n" + wait_for(go) + flood + wait_for(back) + "print('last')"
    agent = ("-c", STUCK + MAIN)
    with popen(
        tmp_path,
        *(sys.executable, "-c", script),
        agent=agent,
        options=("--config", str(config)),
        stdout=subprocess.PIPE,
        variables={"BROKEN": str(broken)},
    ) as process:
        assert process.stdout.readline() == b"first\n"
        broken.touch()
        go.touch()
        began = time.monotonic()
        passed = process.stdout.read(40_000 * 100)
        took = time.monotonic() - began
        broken.unlink()
        back.touch()

        assert process.stdout.read() == b"last\n"
        assert process.wait(timeout=30) == 0
    exported = outrider("spool", "export", state=tmp_path / "state").stdout
    stored = [int(number) for number in re.findall(rb'"stringValue":"(\d{99})"', exported)]
    dropped = drops(tmp_path)
    assert passed == b"".join(b"%099d\n" % number for number in range(40_000))
    assert took < 5
    assert stored == sorted(set(stored))
    assert stored[-1] == 39_999
    assert dropped == {"buffer_full": 40_000 - len(stored)}
    assert len(stored) < 39_000
    assert b'"last"' in exported


def test_output_that_nobody_takes_is_stored_and_counted(tmp_path):
    """On a full disk, or without a reader of the pipe, the command continues; each line that was not passed on is counted."""
    read, closed = os.pipe()
    os.close(read)
    script = "for n in 1 2 3; do echo out$n; echo err$n >&2; done; exit 3"
    with open("/dev/full", "wb") as full, popen(tmp_path, "sh", "-c", script, stdout=full, stderr=closed) as process:
        os.close(closed)
        code = process.wait(timeout=30)
    exported = outrider("spool", "export", state=tmp_path / "state").stdout.decode()

    assert code == 3
    assert [line for line in ("out1", "out2", "out3", "err1", "err2", "err3") if f'"stringValue":"{line}"' not in exported] == []
    assert drops(tmp_path) == {"not_passed_on": 6}


def drops(tmp_path):
    """The losses of the command's output, as a later agent reports them."""
    with popen(tmp_path, "sleep", "30", stderr=subprocess.DEVNULL) as process:
        wait_until(lambda: asked(tmp_path) is not None, "the agent answers")
        found = {one["name"]: one["drops"] for one in asked(tmp_path)["sources"]}
        process.terminate()
    return found["child"]


def asked(tmp_path):
    """The status, None while no agent answers."""
    try:
        return ask_json(tmp_path / "state", "/status.json")
    except (NotRunningError, UnavailableError):
        return None


def test_a_state_directory_that_cannot_be_used_keeps_no_command_from_running(tmp_path, monkeypatch):
    """That is reported, another directory is used, and the records that wait there are not lost."""
    (tmp_path / "state").touch()
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    result = outrider("exec", "--", "sh", "-c", "echo out; exit 3", state=tmp_path / "state")

    [elsewhere] = tmp_path.glob("outrider-*")
    assert (result.returncode, result.stdout) == (3, b"out\n")
    assert b"agent degraded" in result.stderr
    assert str(elsewhere).encode() in result.stderr
    assert b'"out"' in outrider("spool", "export", state=elsewhere).stdout


def test_with_nowhere_to_store_the_command_runs_alone(tmp_path, monkeypatch):
    """No directory can be written: it runs, unobserved, on our own descriptors, and its code comes back."""
    (tmp_path / "state").touch()
    code = "import tempfile\ndef fail(**_): raise OSError('none')\ntempfile.mkdtemp = fail" + MAIN
    with popen(tmp_path, "sh", "-c", "echo out; kill -TERM $$", agent=("-c", code), stdout=-1, stderr=-1) as process:
        out, err = process.communicate(timeout=30)

    assert (process.returncode, out) == (128 + 15, b"out\n")
    assert b"outrider: the command goes on without being observed" in err


def test_a_directory_that_another_agent_has_keeps_no_command_from_running(tmp_path, monkeypatch):
    """Two commands may be wrapped in the same place."""
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    with popen(tmp_path, "sleep", "30") as first:
        wait_until(lambda: asked(tmp_path) is not None, "the first agent answers")
        second = outrider("exec", "--", "echo", "second", state=tmp_path / "state")
        first.terminate()

    assert (second.returncode, second.stdout) == (0, b"second\n")
    assert str(first.pid).encode() in second.stderr


def test_a_directory_of_its_own_is_named_in_the_last_line(tmp_path, monkeypatch):
    """The last line reports how many records are in it, and how to deliver them: that works."""
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    (tmp_path / "state").touch()
    result = outrider("exec", "--", "sh", "-c", "echo first; echo last >&2", state=tmp_path / "state")
    [elsewhere] = tmp_path.glob("outrider-*")
    last = json.loads(result.stderr.splitlines()[-1])
    with OtlpProcess(tmp_path / "store") as server:
        variables = {"OTEL_EXPORTER_OTLP_ENDPOINT": server.url, "OUTRIDER_LISTEN": "127.0.0.1:0"}
        with AgentProcess(elsewhere, **variables):
            wait_until(lambda: len(bodies_of(server)) == 3, "what was left arrives")

    assert (last["event"], last["waiting"], last["directory"]) == ("records left", "3 records", str(elsewhere))
    assert f"OUTRIDER_STATE_DIR={elsewhere}" in last["fix"]


def test_a_directory_of_its_own_is_deleted_once_all_was_delivered(tmp_path, monkeypatch):
    """Nothing is left for a person to do."""
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    (tmp_path / "state").touch()
    with OtlpProcess(tmp_path / "store") as server:
        result = outrider("exec", "--", "echo", "said", state=tmp_path / "state", OTEL_EXPORTER_OTLP_ENDPOINT=server.url)

        assert sorted(bodies_of(server)) == ["process exited with code 0", "said"]
    assert (result.returncode, list(tmp_path.glob("outrider-*"))) == (0, [])
    assert b"records left" not in result.stderr


def test_a_taken_address_keeps_no_command_from_running(tmp_path):
    """The pages are missing, which is reported; everything else is there."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        result = outrider("exec", "--", "echo", "out", state=tmp_path / "state", OUTRIDER_LISTEN=address)

    assert (result.returncode, result.stdout) == (0, b"out\n")
    assert address.encode() in result.stderr
    assert b'"out"' in outrider("spool", "export", state=tmp_path / "state").stdout


WRONG = {
    "a file with a mistake": ("wrong.yaml", {}),
    "a file that is not there": ("none.yaml", {}),
    "a protocol for the command's own SDK": (
        "",
        {"OTEL_EXPORTER_OTLP_PROTOCOL": "grpc", "OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:1"},
    ),
    "a number that is none": ("", {"OTEL_METRIC_EXPORT_INTERVAL": "often"}),
    "attributes that are none": ("", {"OTEL_RESOURCE_ATTRIBUTES": "team"}),
    "a dsn that is none": ("", {"SENTRY_DSN": "nonsense"}),
    "an address that is none": ("", {"OUTRIDER_LISTEN": "everywhere"}),
    "a fault point that is none": ("", {"OUTRIDER_FAULT": "nowhere"}),
}


@pytest.mark.parametrize(("file", "variables"), WRONG.values(), ids=WRONG)
def test_nothing_wrong_with_our_configuration_keeps_the_command_from_running(tmp_path, file, variables):
    """It runs once, its code comes back, and the mistake is reported once."""
    (tmp_path / "wrong.yaml").write_text("nonsense: 1\n")
    options = ("--config", str(tmp_path / file)) if file else ()
    script = f"echo ran >> {tmp_path / 'ran'}; echo out; exit 9"
    result = outrider("exec", *options, "--", "sh", "-c", script, state=tmp_path / "state", **variables)

    wrong = file or next(iter(variables))
    assert (result.returncode, result.stdout, (tmp_path / "ran").read_text()) == (9, b"out\n", "ran\n")
    assert result.stderr.decode().count(wrong) == 1, result.stderr


@pytest.mark.parametrize("module", ["agent", "asyncio", "click", "pydantic", "yaml"])
def test_no_module_of_the_workload_is_taken_for_one_of_ours(tmp_path, module):
    """PYTHONPATH is the workload's, and the command has it as it was."""
    theirs, ours = tmp_path / "theirs", str(Path(__file__).parents[2])
    (theirs / module).mkdir(parents=True)
    (theirs / module / "__init__.py").write_text("x = 1\n")
    (tmp_path / "outrider").write_text("from outrider import main\nmain()\n")
    path = f"{theirs}:{ours}"
    command = [
        sys.executable,
        tmp_path / "outrider",
        "exec",
        "--",
        sys.executable,
        "-c",
        f"import os, {module}; print({module}.x, os.environ['PYTHONPATH'])",
    ]
    variables = environment(tmp_path / "state", PYTHONPATH=path)
    result = subprocess.run(command, env=variables, cwd=tmp_path, capture_output=True, text=True, timeout=30, check=False)

    assert (result.returncode, result.stdout, result.stderr) == (0, f"1 {path}\n", "")


def test_a_mistake_of_ours_does_not_reach_the_command(tmp_path):
    """The agent breaks down; output is passed on, signals are handed on, orphans are reaped, the code comes back."""
    script = (
        "trap 'sleep 0.1; echo caught; exit 7' USR1; for n in 1 2 3; do echo $n; sleep 0.1; done; echo ready; while :; do sleep 0.05; done"
    )
    with popen(tmp_path, "sh", "-c", script, agent=("-c", CRASHING + MAIN), stdout=-1, stderr=-1) as process:
        said = [process.stdout.readline() for _ in range(4)]
        process.send_signal(signal.SIGUSR1)
        out, err = process.communicate(timeout=30)

    assert (said, out, process.returncode) == ([b"1\n", b"2\n", b"3\n", b"ready\n"], b"caught\n", 7)
    assert b"a mistake of ours" in err


def test_a_command_whose_output_finds_no_thread_is_run_once(tmp_path):
    """It runs without us, and not a second time."""
    script = f"echo out; echo ran >> {tmp_path / 'ran'}; exit 7"
    with popen(tmp_path, "sh", "-c", script, agent=("-c", THREADLESS + MAIN), stdout=-1, stderr=-1) as process:
        out, err = process.communicate(timeout=30)

    assert (out, process.returncode, (tmp_path / "ran").read_text()) == (b"out\n", 7, "ran\n")
    assert b"outrider: the command goes on without being observed" in err


def test_a_reader_that_is_slow_gets_all_that_the_command_wrote(tmp_path):
    """The command ends long before its output is read: we wait for the reader, as it would have."""
    read, write = os.pipe()
    with popen(tmp_path, sys.executable, "-c", "import os; os.write(1, b'x' * 100_000)", stdout=write) as process:
        os.close(write)
        with pytest.raises(subprocess.TimeoutExpired):
            process.wait(timeout=4)
        got = sum(iter(lambda: len(os.read(read, 65536)), 0))
        os.close(read)

        assert (got, process.wait(timeout=20)) == (100_000, 0)


def test_a_signal_that_would_have_ended_the_waiting_command_ends_us(tmp_path):
    """The command's last output is held up by its reader when SIGTERM comes."""
    read, write = os.pipe()
    with popen(tmp_path, sys.executable, "-c", "import os; os.write(1, b'x' * 100_000)", stdout=write) as process:
        os.close(write)
        with pytest.raises(subprocess.TimeoutExpired):
            process.wait(timeout=3)
        process.terminate()

        assert process.wait(timeout=10) == 0
    os.close(read)


COUNTING = """
import os, signal, time
counts = []
for number in (signal.SIGINT, signal.SIGQUIT, signal.SIGWINCH, signal.SIGRTMIN):
    signal.signal(number, lambda number, frame: counts.append(number))
print('ready', flush=True)
end = time.monotonic() + 20
while counts.count(signal.SIGRTMIN) == 0 and time.monotonic() < end:
    time.sleep(0.01)
time.sleep(0.3)
print('got', *[counts.count(number) for number in (signal.SIGINT, signal.SIGQUIT, signal.SIGWINCH)], flush=True)
"""


def read_until(fd, wanted, seconds=20.0):
    """Read from a terminal until it shows this, or until no process has it open."""
    data, end = b"", time.monotonic() + seconds
    while wanted not in data:
        assert time.monotonic() < end, data
        if select.select([fd], [], [], 0.1)[0]:
            try:
                data += os.read(fd, 4096)
            except OSError:  # EIO: all who had the terminal are gone
                return data
    return data


def test_in_a_terminal_the_command_gets_each_signal_once(tmp_path):
    r"""Ctrl-C and Ctrl-\ come from the terminal, to both of us; a `kill` comes to us alone, and is handed on."""
    pid, terminal = pty.fork()
    if pid == 0:
        for number in (signal.SIGINT, signal.SIGQUIT):  # ignored in whatever a shell starts in the background, hence perhaps in us
            signal.signal(number, signal.SIG_DFL)
        os.execve(
            sys.executable,
            [sys.executable, "-m", "agent", "exec", "--", sys.executable, "-c", COUNTING],
            environment(tmp_path / "state"),
        )
    try:
        read_until(terminal, b"ready")
        os.write(terminal, b"\x03")
        time.sleep(0.2)
        os.write(terminal, b"\x1c")
        time.sleep(0.2)
        os.kill(pid, signal.SIGINT)
        time.sleep(0.2)
        os.kill(pid, signal.SIGRTMIN)
        assert b"got 2 1 0" in read_until(terminal, b"got 2 1 0")
        _, status = os.waitpid(pid, 0)
        assert os.waitstatus_to_exitcode(status) == 0
    finally:
        os.close(terminal)


def test_the_end_of_a_terminal_reaches_a_command_whose_session_we_lead(tmp_path):
    """The kernel sends SIGHUP to the session's leader alone, which would be the command: `ssh -t host outrider exec -- …` and its connection lost."""
    script = f"trap 'echo hung up >{tmp_path}/trace; exit 3' HUP; echo ready; for n in $(seq 200); do sleep 0.1; done"
    pid, terminal = pty.fork()
    if pid == 0:
        signal.signal(signal.SIGHUP, signal.SIG_DFL)
        os.execve(sys.executable, [sys.executable, "-m", "agent", "exec", "--", "sh", "-c", script], environment(tmp_path / "state"))
    try:
        read_until(terminal, b"ready")
    finally:
        os.close(terminal)
    _, status = os.waitpid(pid, 0)

    assert os.waitstatus_to_exitcode(status) == 3
    assert (tmp_path / "trace").read_text() == "hung up\n"


def test_what_is_ignored_at_the_start_stays_ignored_for_the_command(tmp_path):
    """As with `nohup`: a hang-up reaches neither us nor the command."""
    script = "import signal; print(signal.getsignal(signal.SIGHUP) == signal.SIG_IGN, signal.pthread_sigmask(signal.SIG_BLOCK, ()))"
    whole = f"trap '' HUP; exec {sys.executable} -m agent exec -- {sys.executable} -c '{script}'"
    result = subprocess.run(["sh", "-c", whole], env=environment(tmp_path / "state"), capture_output=True, timeout=30, check=False)

    assert result.stdout == b"True set()\n"


STOPPING = """
COMMAND = "import os, time\\nprint('ready', flush=True)\\nwhile not os.path.exists('go'): time.sleep(0.05)\\nraise SystemExit(6)"
import os, signal, sys, time
pid = os.fork()
if not pid:
    os.setpgid(0, 0)
    time.sleep(0.3)
    signal.signal(signal.SIGTSTP, signal.SIG_DFL)
    os.execv(sys.executable, [sys.executable, "-m", "agent", "exec", "--", sys.executable, "-c", COMMAND])
os.setpgid(pid, pid)
signal.signal(signal.SIGTTOU, signal.SIG_IGN)
os.tcsetpgrp(0, pid)
_, status = os.waitpid(pid, os.WUNTRACED)
print("stopped" if os.WIFSTOPPED(status) else "ended", flush=True)
command = int(open(f"/proc/{pid}/task/{pid}/children").read().split()[0])
end = time.monotonic() + 10
while (state := open(f"/proc/{command}/stat").read().split()[2]) != "T" and time.monotonic() < end:
    time.sleep(0.01)
print("command", state, flush=True)
os.killpg(pid, signal.SIGCONT)
open("go", "w").close()
_, status = os.waitpid(pid, 0)
print("code", os.waitstatus_to_exitcode(status), flush=True)
"""
"""A shell with one job."""


def test_in_a_terminal_ctrl_z_stops_both_and_both_go_on(tmp_path):
    """As with any job: the shell sees it stopped, and the command stops as soon as it runs, by the signal that the terminal sent it."""
    pid, terminal = pty.fork()
    if pid == 0:
        os.chdir(tmp_path)
        os.execve(sys.executable, [sys.executable, "-c", STOPPING], environment(tmp_path / "state"))
    try:
        read_until(terminal, b"ready")
        os.write(terminal, b"\x1a")
        said = read_until(terminal, b"code 6")
        os.waitpid(pid, 0)
    finally:
        os.close(terminal)

    assert b"stopped" in said
    assert b"command T" in said


def test_an_agent_that_is_frozen_holds_its_command_up_only_once_a_megabyte_waits(tmp_path):
    """While it is stopped the command continues, up to that; afterwards every line arrives in order."""
    script = f"import time\nopen({str(tmp_path / 'ready')!r}, 'w').close()\n" + wait_for(tmp_path / "go")
    script += f"for n in range(9000): print('%099d' % n, flush=True)\nopen({str(tmp_path / 'done')!r}, 'w').close()"
    with popen(tmp_path, sys.executable, "-c", script, stdout=subprocess.PIPE) as process:
        wait_until((tmp_path / "ready").exists, "the command runs")
        process.send_signal(signal.SIGSTOP)
        (tmp_path / "go").touch()
        wait_until((tmp_path / "done").exists, "the command has written 900 kB")
        process.send_signal(signal.SIGCONT)
        out, _ = process.communicate(timeout=60)

    assert process.returncode == 0
    assert out == b"".join(b"%099d\n" % n for n in range(9000))


def test_limits_of_every_kind_keep_no_command_from_running(tmp_path):
    """Too few descriptors for us, no memory, no threads, no room for a file: it runs, observed or not."""
    started = {}
    for limit in ("-n 10", "-n 20", "-n 40", "-v 100000", "-v 300000", "-f 0", "-f 10"):
        script = f"ulimit {limit}; exec {sys.executable} -m agent exec -- sh -c 'echo out; exit 8'"
        started[limit] = subprocess.Popen(["sh", "-c", script], env=environment(tmp_path / limit), stdout=-1, stderr=-1)
    said = {limit: process.communicate(timeout=60) for limit, process in started.items()}

    for limit, process in started.items():
        assert (limit, process.returncode, said[limit][0]) == (limit, 8, b"out\n"), said[limit][1][-3000:]


def can_be_pid_1():
    """Whether a process namespace of our own can be made."""
    return shutil.which("unshare") and subprocess.run(["unshare", "-pf", "true"], capture_output=True, check=False).returncode == 0


@pytest.fixture
def as_pid_1():
    """The words that make a command PID 1 of a namespace of its own."""
    if not can_be_pid_1():
        pytest.skip("unshare -p is not allowed here")
    return ("unshare", "-pf", "--mount-proc", "--kill-child")


@pytest.mark.parametrize("delay", [0.03, 0.1, 0.2, 0.4])
def test_as_pid_1_a_signal_during_the_start_is_not_ignored(tmp_path, as_pid_1, delay):
    """SIGTERM in the first moments ends us, whether the command has been started by then or not."""
    command = [*as_pid_1, "sh", "-c", f"echo up; exec {sys.executable} -X importtime -m agent exec -- sleep 20"]
    with subprocess.Popen(command, env=environment(tmp_path / "state"), stdout=-1, stderr=-1) as process:
        assert process.stdout.readline() == b"up\n"
        [inside] = children_of(process.pid)
        wait_until(lambda: b"agent.signals" in os.read(process.stderr.fileno(), 65536), "our first instruction")
        time.sleep(delay)
        os.kill(inside, signal.SIGTERM)
        process.stderr.read()

        assert process.wait(timeout=10) == 128 + signal.SIGTERM


def children_of(pid):
    """The processes below."""
    with open(f"/proc/{pid}/task/{pid}/children") as file:
        return [int(word) for word in file.read().split()]


@pytest.mark.parametrize(
    ("script", "code"),
    [
        ("exec >/dev/null 2>&1; sleep 2; exit 5", 5),
        ("exec >&- 2>&-; sleep 2; kill -SEGV $$", 139),
        ("(setsid sleep 60 &) ; echo up; exit 7", 7),
        ("sleep 0.2 & sleep 0.4 & sleep 1; exit 9", 9),
    ],
)
def test_as_pid_1_it_ends_with_the_command_and_not_before(tmp_path, as_pid_1, script, code):
    """Whatever happens to its output, and whatever else ends or stays: an end before would kill the workload."""
    whole = [*as_pid_1, sys.executable, "-m", "agent", "exec", "--", "sh", "-c", f"{script}"]
    result = subprocess.run(whole, env=environment(tmp_path / "state"), capture_output=True, timeout=30, check=False)

    assert result.returncode == code, result.stderr


def test_as_pid_1_orphans_are_reaped(tmp_path, as_pid_1):
    """No other process would reap them: no zombie is left."""
    script = "for n in 1 2 3 4 5; do sh -c 'sleep 0.1 & exit'; done; sleep 1; ps -eo stat= 2>/dev/null | grep -c Z; cat /proc/[0-9]*/stat | grep -c ' Z '; exit 4"
    result = subprocess.run(
        [*as_pid_1, sys.executable, "-m", "agent", "exec", "--", "sh", "-c", script],
        env=environment(tmp_path / "state"),
        capture_output=True,
        timeout=30,
        check=False,
    )

    assert (result.returncode, set(result.stdout.split())) == (4, {b"0"})
