"""`outrider exec` side by side with `env`, `timeout` and `tini` (Debian): a command can't tell that it is there.

Each situation is a script in which `$W` stands for the wrapper. It is run once with each of them, in a directory of its own; exit code, output
and the files that it leaves in `kept` must be the same with `outrider exec` as with `env`, which executes the command in its own place. Where
another wrapper differs from that, the situation names it. Where `outrider exec` must, `NECESSARY` says why.
"""

from __future__ import annotations

import contextlib
import shutil
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import pytest

from tests.support.agent_process import environment

pytestmark = pytest.mark.alone

WRAPPERS = {
    "env": "env",
    "outrider": f"{sys.executable} -m agent exec --",
    "timeout": "timeout --foreground 60",
    "tini": "tini -s --",
}
SIGNALS = (
    *("HUP", "INT", "QUIT", "ILL", "TRAP", "ABRT", "BUS", "FPE", "KILL", "USR1", "SEGV"),
    *("USR2", "PIPE", "ALRM", "TERM", "XCPU", "XFSZ", "VTALRM", "PROF", "SYS", "34", "64"),
)
OF_CPYTHON = {signal.SIGPIPE, signal.SIGXFSZ}
"""Ignored in every Python; `subprocess` puts them back for what it starts."""
FDS = "for n in 0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15; do [ -e /proc/$$/fd/$n ] && printf '%s ' $n; done"
SEEN = "Seen|SigBlk|SigIgn|Umask|Groups|CapEff|Cpus_allowed:|NoNewPrivs"
COUNT = """
import os, signal, sys, time
counted, got = getattr(signal, sys.argv[1]), []
for number in (counted, signal.SIGTERM):
    signal.signal(number, lambda number, frame: got.append(number))
open("ready", "w").close()
end = time.monotonic() + 30
while signal.SIGTERM not in got and time.monotonic() < end:
    time.sleep(0.01)
time.sleep(0.5)
print(got.count(counted))
"""
"""Counts one signal until SIGTERM, which every wrapper hands on, and a little longer: the kernel keeps no order among pending signals."""
SETTLED = "until [ -e ready ] && grep -q '^State:.S' /proc/$p/status; do sleep 0.02; done"
"""Waits for the command, and for its wrapper: timeout(1) hands no signal on before fork(2) has returned the command's number."""
MASKED = """
import os, signal, sys
how, numbers, *command = sys.argv[1:]
numbers = signal.valid_signals() if numbers == "all" else {getattr(signal, numbers)}
if how == "block":
    signal.pthread_sigmask(signal.SIG_BLOCK, numbers)
else:
    for number in numbers:
        signal.signal(number, signal.SIG_IGN)
signal.signal(signal.SIGPIPE, signal.SIG_DFL)
signal.signal(signal.SIGXFSZ, signal.SIG_DFL)
os.execvp(command[0], command)
"""
"""A launcher that blocks or ignores signals, and leaves it so."""
ALARM = """
import os, signal, sys
signal.setitimer(signal.ITIMER_REAL, float(sys.argv[1]))
os.execvp(sys.argv[2], sys.argv[2:])
"""
"""A launcher that limits time, as `perl -e 'alarm shift; exec @ARGV'` does where there is no timeout(1)."""
DAEMON = """
import os, sys, time
if os.fork():
    sys.exit(int(sys.argv[1]))
os.setsid()
if os.fork():
    os._exit(0)
for n in range(40):
    os.write(1, b"daemon %d\\n" % n)
    time.sleep(0.1)
open("kept/daemon", "w").write("to its end")
"""
"""Leaves a process behind that writes on, for longer than any wrapper waits."""


class Situation(NamedTuple):
    """A script to try."""

    script: str
    unlike: str = ""
    """Wrappers that give another result than `env`."""
    hangs: str = ""
    """One that does not end."""


def kill(name: str) -> str:
    """A command that counts a signal, which is sent to the wrapper."""
    end = "" if name == "TERM" else "sleep 0.3; kill -TERM $p; "
    return f"$W python3 count.py SIG{name} & p=$!; {SETTLED}; kill -{name} $p; {end}wait $p"


SITUATIONS: dict[str, Situation] = {
    # how it ends
    **{f"code {code}": Situation(f"$W sh -c 'exit {code}'") for code in (0, 1, 2, 64, 77, 78, 123, 126, 127, 128, 130, 137, 143, 200, 255)},
    **{f"death by {name}": Situation(f"ulimit -c 0; {{ $W sh -c 'kill -{name} $$'; }} 2>/dev/null; echo $?") for name in SIGNALS},
    "death by a fault": Situation("ulimit -c 0; $W python3 -c 'import ctypes; ctypes.string_at(0)' 2>/dev/null; echo $?"),
    "code in a list": Situation("$W true && $W false || echo other"),
    "it executes another program": Situation("$W sh -c 'exec sh -c \"exec sh -c \\\"exit 21\\\"\"'"),
    "it closes its outputs and goes on": Situation("$W sh -c 'echo a; exec >&- 2>&-; sleep 3; touch kept/done; exit 5'"),
    "it writes into a file and goes on": Situation("$W sh -c 'exec >kept/log 2>&1; for n in 1 2 3; do echo $n; sleep 1; done; exit 5'"),
    "it closes its input and goes on": Situation("echo x | $W sh -c 'exec <&-; sleep 1; echo still here; exit 6'"),
    # how it can't begin
    "no such file": Situation("$W ./none 2>/dev/null"),
    "no such command": Situation("$W no-such-command-anywhere 2>/dev/null"),
    "an empty name": Situation("$W '' 2>/dev/null"),
    "not executable": Situation("touch plain; $W ./plain 2>/dev/null"),
    "a directory": Situation("mkdir folder; $W ./folder 2>/dev/null"),
    "a path through a file": Situation("touch plain; $W ./plain/x 2>/dev/null", unlike="tini"),
    "a circle of links": Situation("ln -s b a; ln -s a b; $W ./a 2>/dev/null", unlike="tini"),
    "a name that is too long": Situation("$W ./$(printf %0300d 0) 2>/dev/null", unlike="tini"),
    "a script without a first line for it": Situation("printf 'echo \"$0 $*\"; exit 3' > s; chmod +x s; $W ./s a 'b c'"),
    "an empty script": Situation(": > s; chmod +x s; $W ./s; echo $?"),
    "such a script in PATH": Situation("mkdir bin; echo 'echo $0 $1; exit 4' > bin/own; chmod +x bin/own; PATH=$PWD/bin:$PATH; $W own x"),
    "a script whose interpreter is missing": Situation("printf '#!/no/such\\n' > s; chmod +x s; $W ./s 2>/dev/null"),
    "a script whose interpreter is a directory": Situation("printf '#!/tmp\\n' > s; chmod +x s; $W ./s 2>/dev/null"),
    "a script with an interpreter's option": Situation("printf '#!/bin/sh -e\\nfalse; echo on\\n' > s; chmod +x s; $W ./s"),
    "a script whose line ends like in Windows": Situation("printf '#!/bin/sh\\r\\necho x\\r\\n' > s; chmod +x s; $W ./s 2>/dev/null"),
    "no program at all": Situation("printf '\\177ELF garbage' > s; chmod +x s; $W ./s 2>/dev/null"),
    "the first in PATH can't be executed": Situation(
        "mkdir one two; echo no > one/own; printf '#!/bin/sh\\necho two\\n' > two/own; chmod +x two/own; PATH=$PWD/one:$PWD/two:$PATH $W own"
    ),
    "only one in PATH that can't": Situation("mkdir one; echo no > one/own; PATH=$PWD/one:$PATH $W own 2>/dev/null"),
    "the present directory in PATH": Situation("printf '#!/bin/sh\\necho here\\n' > own; chmod +x own; PATH=:$PATH $W own"),
    # what it is given
    "descriptors": Situation(f"$W sh -c '{FDS}'"),
    "descriptors of ours": Situation(f"$W sh -c '{FDS}' 3>x 5<&0 9>&1"),
    "descriptor 3 is a file": Situation("$W sh -c 'echo three >&3' 3>kept/three"),
    "descriptor 3 is read": Situation("echo data > f; $W sh -c 'read -r line <&3; echo $line' 3<f"),
    "a substitution of bash": Situation("bash -c '$W cat <(echo substituted)'"),
    "a lock is let go with the command": Situation("(flock 9; $W sh -c 'sleep 0.5' 9>&-; echo free) 9>lock; flock -n lock echo taken"),
    "who reads descriptor 3 sees its end": Situation("$W sh -c 'echo up >&3; exec 3>&-; sleep 3; touch late' 3>&1 >/dev/null | { cat; ls late 2>/dev/null || echo early; }", unlike="timeout tini"),
    "descriptors of a service manager": Situation(
        "echo data > f; exec 3<f; sh -c 'LISTEN_PID=$$ LISTEN_FDS=1 exec $W sh -c '\"'\"'[ $LISTEN_PID = $$ ] && cat <&3'\"'\"; echo $?", unlike="timeout tini"
    ),
    "input from a pipe": Situation("printf 'a\\nb' | $W cat"),
    "input at its end": Situation("$W cat < /dev/null; echo $?"),
    "no input": Situation("$W sh -c '[ -e /proc/$$/fd/0 ] || echo none; exit 3' <&-", unlike="tini"),
    "no output": Situation("$W sh -c '[ -e /proc/$$/fd/0 ] && touch kept/x; exit 3' >&-"),
    "no error output": Situation("$W sh -c 'echo ran; exit 3' 2>&-"),
    "no input, no output": Situation("$W sh -c '[ -e /proc/$$/fd/0 ] || touch kept/none; exit 3' <&- >&-", unlike="tini"),
    "no input, no error output": Situation("$W sh -c '[ -e /proc/$$/fd/0 ] || echo none; exit 3' <&- 2>&-", unlike="tini"),
    "no output at all": Situation("$W sh -c 'touch kept/ran; exit 3' >&- 2>&-"),
    "nothing at all": Situation("$W sh -c '[ -e /proc/$$/fd/0 ] || touch kept/none; exit 3' <&- >&- 2>&-", unlike="tini"),
    "an error output that is full": Situation("$W sh -c 'echo ran; exit 3' 2>/dev/full"),
    "an error output that can only be read": Situation("$W sh -c 'echo ran; exit 3' 2</dev/null"),
    "an output that is full": Situation("$W sh -c 'touch kept/ran; exit 3' >/dev/full"),
    "signals": Situation(f"$W grep -E '{SEEN}' /proc/self/status"),
    "hang-ups are ignored": Situation(f"trap '' HUP; $W grep -E '{SEEN}' /proc/self/status", unlike="timeout"),
    "with nohup": Situation("nohup $W sh -c 'kill -HUP $$; echo alive' 2>/dev/null", unlike="timeout"),
    "in the background": Situation(f"$W grep -E '{SEEN}' /proc/self/status & wait $!", unlike="timeout"),
    "SIGCHLD is blocked": Situation("python3 masked.py block SIGCHLD $W sh -c 'echo working; exit 7'"),
    "SIGCHLD is ignored": Situation("python3 masked.py ignore SIGCHLD $W sh -c 'echo working; exit 7'", hangs="tini"),
    "SIGCHLD stays ignored": Situation(f"python3 masked.py ignore SIGCHLD $W grep -E '{SEEN}' /proc/self/status", unlike="timeout", hangs="tini"),
    "all signals are blocked": Situation(f"python3 masked.py block all $W grep -E '{SEEN}' /proc/self/status; echo $?", unlike="timeout"),
    "some signals are ignored": Situation(f"python3 masked.py ignore SIGUSR1 $W grep -E '{SEEN}' /proc/self/status"),
    "SIGTERM is blocked": Situation(f"python3 masked.py block SIGTERM $W grep -E '{SEEN}' /proc/self/status"),
    "the limits": Situation("ulimit -n 100; ulimit -c 0; ulimit -s 4096; ulimit -u 5000; $W cat /proc/self/limits"),
    "few descriptors": Situation("ulimit -n 16; $W sh -c 'ulimit -n; exit 3' 2>/dev/null"),
    "no file may grow": Situation("ulimit -f 0; $W sh -c 'echo ran; exit 3' 2>/dev/null"),
    "little memory": Situation("ulimit -v 120000; $W sh -c 'echo ran; exit 3' 2>/dev/null"),
    "the mask for files": Situation("umask 027; $W sh -c 'umask; touch kept/x; stat -c %a kept/x'"),
    "the directory": Situation("mkdir here; cd here; $W sh -c 'basename $PWD'"),
    "a directory that is gone": Situation("mkdir gone; cd gone; rmdir ../gone; $W sh -c 'exit 3' 2>/dev/null"),
    "niceness": Situation("nice -n 5 $W nice"),
    "the arguments": Situation("$W python3 -c 'import sys; print(sys.argv[1:])' '' 'a b' -- --config $(printf 'x\\377y') '*'"),
    "the environment": Situation("A= B='x y' C=$(printf 'n\\nl') D=$(printf '\\377') $W env | grep -av ^_= | LC_ALL=C sort"),
    "a bare environment": Situation('env -i PATH="$PATH" PYTHONPATH="$PYTHONPATH" OUTRIDER_STATE_DIR="$OUTRIDER_STATE_DIR" $W env | LC_ALL=C sort'),
    "a foreign locale": Situation("LC_ALL=C LC_CTYPE=xx_XX $W env | grep ^LC_ | sort"),
    "the session": Situation("[ $($W ps -o sid= -p $$) = $($W sh -c 'ps -o sid= -p $$') ]; echo $?"),
    "the process group": Situation("[ $(ps -o pgid= -p $$) = $($W sh -c 'ps -o pgid= -p $$') ]; echo $?", unlike="tini"),
    "a session of its own": Situation("setsid -w $W sh -c 'exit 9'"),
    "an SDK that speaks gRPC": Situation("OTEL_EXPORTER_OTLP_PROTOCOL=grpc OTEL_EXPORTER_OTLP_ENDPOINT=http://127.0.0.1:1 $W sh -c 'echo $OTEL_EXPORTER_OTLP_PROTOCOL; exit 2' 2>/dev/null"),
    # what it says
    "five megabytes, then the end": Situation("$W sh -c 'yes $(printf %0500d 1) | head -c 5000000' | cksum"),
    "five megabytes of errors": Situation("$W sh -c 'yes $(printf %0500d 1) | head -c 5000000 >&2' 2>&1 >/dev/null | cksum"),
    "bytes of any kind, without an end of line": Situation("$W printf 'a\\000\\377\\r\\033[0m b'"),
    "a slow reader": Situation("$W sh -c 'yes $(printf %0500d 1) | head -c 3000000' | { sleep 2; cksum; }"),
    "both outputs apart": Situation("$W sh -c 'echo out; echo err >&2' 2>kept/err >kept/out"),
    "a filter in a pipeline": Situation("seq 20000 | $W sed s/^/n/ | tail -1"),
    "two in a pipeline": Situation("seq 1000 | $W cat 2>/dev/null | $W tail -1 2>/dev/null"),
    "a reader that goes away": Situation("$W sh -c 'echo first; sleep 0.3; exit 3' | head -1"),
    "a here-document": Situation("$W cat <<END\none\ntwo\nEND\n"),
    "appended to a file": Situation("echo before > kept/f; $W echo after >> kept/f"),
    # what it leaves behind
    "a daemon": Situation("$W python3 daemon.py 4 | tail -1"),
    "a daemon that outlives the reader's patience": Situation("$W python3 daemon.py 0 > kept/out; sleep 5; tail -1 kept/out"),
    "a child in the background": Situation("$W sh -c '(sleep 3; echo late) & echo soon; exit 2'"),
    "a child that closes what it was given": Situation(
        "$W sh -c '(n=0; until [ -e over ] || [ $((n=n+1)) -gt 400 ]; do sleep 0.05; done; touch kept/late) >/dev/null 2>&1 & echo soon'; "
        "[ -e kept/late ] || echo at once; touch over; until [ -e kept/late ]; do sleep 0.05; done"
    ),
    "a daemon whose reader goes away": Situation("$W python3 daemon.py 0 2>/dev/null | head -1; sleep 5; ls kept"),
    # signals on their way
    **{f"SIG{name} to the wrapper": Situation(kill(name)) for name in ("HUP", "TERM")},
    **{
        f"SIG{name} to the wrapper": Situation(kill(name), unlike="timeout")
        for name in ("USR1", "USR2", "WINCH", "CONT", "ALRM", "PROF", "VTALRM", "XCPU", "PWR", "URG", "IO")
    },
    **{f"SIG{name} to the wrapper, ignored at its start": Situation(kill(name)) for name in ("INT", "QUIT")},
    "SIGTERM ends it": Situation("exec 2>/dev/null; $W sleep 30 & p=$!; sleep 1.5; kill $p; wait $p; echo $?"),
    "SIGTERM ends it in its own way": Situation(f"$W sh -c 'trap \"echo bye; exit 8\" TERM; touch ready; while :; do sleep 0.05; done' & p=$!; {SETTLED}; kill $p; wait $p; echo $?"),
    "SIGTERM at once": Situation("exec 2>/dev/null; $W sleep 30 & kill $!; wait $!; echo $?"),
    "SIGTERM during the start": Situation("exec 2>/dev/null; $W sleep 30 & sleep 0.15; kill $!; wait $!; echo $?"),
    "an alarm that was set before ends it": Situation("{ python3 alarm.py 3 $W sleep 9; } 2>/dev/null; echo $?", unlike="timeout"),
    "an alarm during the start": Situation("{ python3 alarm.py 0.1 $W sleep 9; } 2>/dev/null; echo $?", unlike="timeout"),
    "a signal it ignores": Situation(f"$W sh -c 'trap \"\" TERM; touch ready; sleep 2; echo survived' & p=$!; {SETTLED}; kill $p; wait $p; echo $?"),
    "stopped and continued": Situation(
        f"$W sh -c 'touch ready; n=0; while [ $n -lt 20 ]; do n=$((n+1)); sleep 0.05; done; echo done; exit 3' & p=$!; {SETTLED}; kill -TSTP $p; sleep 0.5; kill -CONT $p; wait $p; echo $?"
    ),
}  # fmt: skip

NECESSARY: dict[str, Situation] = {
    "standard output is a pipe, not what we write to": Situation("$W sh -c '[ -p /dev/stdout ] && echo pipe >&2' >kept/file"),
    "an output that was closed can be written": Situation("$W sh -c 'echo x 2>/dev/null; echo $? >kept/code' >&-"),
    "a full disk is not seen by the command": Situation("$W sh -c 'echo x 2>/dev/null; echo $? >kept/code' >/dev/full"),
    "a reader that has gone ends no command": Situation(
        "$W sh -c 'while [ $((n=n+1)) -lt 20 ]; do echo x; sleep 0.05; done; touch kept/end' | head -1"
    ),
    "SIGPIPE is at its default: CPython does not tell whether it was ignored": Situation("trap '' PIPE; $W grep SigIgn /proc/self/status"),
}
"""Where `outrider exec` differs from `env`, because it stands between the command and what reads its output, and because it is a process."""


AT_ONCE = 8
"""Situations that are tried at a time: most of what they take is waiting."""


@pytest.fixture(scope="module")
def found(request, tmp_path_factory):
    """Try each situation that is asked for with each wrapper; the others are tried while one is judged."""
    asked = {
        item.callspec.id: item.callspec.params for item in request.session.items if item.path == request.path and hasattr(item, "callspec")
    }
    with signals_at_their_defaults(), ThreadPoolExecutor(AT_ONCE) as pool:
        yield {name: pool.submit(side_by_side, **params, place=tmp_path_factory.mktemp("situation")) for name, params in asked.items()}
        pool.shutdown(cancel_futures=True)


@contextlib.contextmanager
def signals_at_their_defaults():
    """As a shell starts its commands: whatever started us may have some ignored, as it does in the background."""
    ignored = [n for n in signal.valid_signals() if signal.getsignal(n) is signal.SIG_IGN and n not in OF_CPYTHON]
    for number in ignored:
        signal.signal(number, signal.SIG_DFL)
    yield
    for number in ignored:
        signal.signal(number, signal.SIG_IGN)


def side_by_side(situation, wrappers, place):
    """Try a situation with each of the wrappers at once; exit code, output, error output and what is kept, by wrapper."""
    variables = environment(place / "state", PYTHONDONTWRITEBYTECODE="1")
    variables.pop("PYTEST_CURRENT_TEST", None)  # it changes while they are started
    started = {name: start(name, situation, place, variables) for name in wrappers}
    return {name: result(process, place / name) for name, process in started.items()}


def start(name, situation, place, variables):
    """A situation with a wrapper, in a directory of its own."""
    own = place / name
    (own / "kept").mkdir(parents=True)
    for file, text in (("count.py", COUNT), ("masked.py", MASKED), ("alarm.py", ALARM), ("daemon.py", DAEMON)):
        (own / file).write_text(text)
    return subprocess.Popen(
        ["sh", "-c", situation.script],
        cwd=own,
        env={**variables, "W": WRAPPERS[name]},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        umask=0o022,
    )


def result(process, own):
    """How it went, without what shows which wrapper it was."""
    out, err = process.communicate(timeout=60)
    kept = {path.name: path.read_bytes() for path in (own / "kept").iterdir()}
    wrapper = b"W=" + WRAPPERS[own.name].encode()
    return process.returncode, out.replace(wrapper, b"").replace(bytes(own), b"."), err, kept


def silent(found):
    """Without its own words."""
    code, out, _, kept = found
    return code, out, kept


def all_wrappers(situation):
    """Those that are installed, and end."""
    return tuple(name for name in WRAPPERS if name != situation.hangs and (name == "outrider" or shutil.which(name)))


@pytest.mark.parametrize(("situation", "wrappers"), [(one, all_wrappers(one)) for one in SITUATIONS.values()], ids=SITUATIONS)
def test_a_command_can_not_tell_it_from_env(found, situation, wrappers, request):
    """Code, outputs and traces are the same. The other wrappers show that this means something: theirs are, but where they are named."""
    by = found[request.node.callspec.id].result()

    assert by["outrider"] == by["env"]
    others = set(wrappers) - {"env", "outrider"}
    assert {name for name in others if silent(by[name]) != silent(by["env"])} == others & set(situation.unlike.split())


@pytest.mark.parametrize(("situation", "wrappers"), [(one, ("env", "outrider")) for one in NECESSARY.values()], ids=NECESSARY)
def test_where_it_must_differ_from_env_it_is_said(found, situation, wrappers, request):
    """Each of these is a difference, and no other is known."""
    by = found[request.node.callspec.id].result()

    assert by["outrider"] != by["env"]


def test_all_wrappers_are_there():
    """The comparison is with all of them where Debian's are installed."""
    for name in WRAPPERS:
        if shutil.which(WRAPPERS[name].split()[0]) is None:
            pytest.skip(f"{name} is not installed")
