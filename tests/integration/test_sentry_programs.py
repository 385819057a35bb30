"""Seven programs, each under `outrider exec`, beside `outrider run` and with the SDK in it, side by side in a real server's list of issues."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.support import bugsink
from tests.support.side_by_side import runner

pytestmark = pytest.mark.timeout(600)

NAMES = (*runner.PROGRAMS, "strategy")
PLAIN = ("service", "shop", "threads", "warned")
"""Programs whose issues the SDK and the agent share where both report into one project."""
INJECTED = {"InjectedCrashError: crash on demand", "PositionMismatchError: the broker's position cannot be read"}
"""Issues of the strategy agent that are asked for; it may have others, since it crashes in the middle of its work."""
ONLY_OURS = {"warned": {"RuntimeError: can't close"}}
"""Without an option the SDK does not report an exception in a finalizer."""
BETTER = {
    (
        "service",
        "LookupError: no book",
    ): "nobody awaits the task: that is unhandled, and the coroutine is known; the SDK has it from the log",
}
"""Where `handled` and the mechanism differ, and why ours is right."""
OTHER_STACK = {
    ("pool", "ValueError: no price for XYZ"): "the worker's stack is frames and a cause, which the SDK has as text",
    ("strategy", "InjectedCrashError: crash on demand"): "the SDK counts runpy, which is frozen, as the program's own code",
}
"""Where Sentry would not put both into one issue."""


@pytest.fixture(scope="module")
def seen(tmp_path_factory):
    """(program, way) → its issues; ("both", program) → those of the SDK and `outrider exec` in one project."""
    runner.python()
    home = tmp_path_factory.mktemp("side")
    (home / "bugsink").mkdir()
    with bugsink.running(home / "bugsink") as server, ThreadPoolExecutor(4) as threads:
        names = [name for name in NAMES if runner.REDIS or name != "jobs"]
        runs = [(name, way) for name in names for way in runner.WAYS]
        projects = {key: server.another(" ".join(key)) for key in runs}
        projects |= {(name, "both"): server.another(f"{name} both") for name in PLAIN}

        def play(key: tuple[str, str]) -> None:
            name, way = key
            folder = home / f"{name}-{way}"
            folder.mkdir()
            into = (key, (name, "both")) if name in PLAIN and way != "run" else (key,)
            with runner.broker(name) as url:
                runner.WAYS[way](name, folder, [projects[one].dsn for one in into], url)

        list(threads.map(play, runs))
        yield {key: {row.problem: row for row in runner.rows(project)} for key, project in projects.items()}


def of(seen, name, way):
    """The issues of a program; skips where it could not run."""
    if (name, way) not in seen:
        pytest.skip("there is no Redis server here")
    rows = seen[name, way]
    return {problem: row for problem, row in rows.items() if problem in INJECTED} if name == "strategy" else rows


@pytest.mark.parametrize("way", ["exec", "run"])
@pytest.mark.parametrize("name", NAMES)
def test_each_issue_of_the_sdk_is_there(seen, name, way):
    """Each issue of the SDK inside is an issue from outside, with the same title, level, handling, transaction and own frames."""
    ours, theirs = of(seen, name, way), of(seen, name, "sdk")
    assert theirs
    assert ours.keys() - theirs.keys() == ONLY_OURS.get(name, set())
    for problem, row in theirs.items():
        mine = ours[problem]
        assert mine.level == row.level
        assert mine.events >= row.events  # the SDK loses what its destination does not take at once
        assert [frame for frame in mine.frames if frame[0] != "!"] == [
            frame for frame in row.frames if frame[0] != "!" and "runpy" not in frame
        ]
        assert set(row.links) <= set(mine.links)
        if (name, problem) in BETTER:
            assert (mine.handled, row.handled) == (False, True)
        else:
            assert (mine.handled, mine.mechanism, mine.transaction) == (row.handled, row.mechanism, row.transaction)


@pytest.mark.parametrize("way", ["exec", "run"])
@pytest.mark.parametrize("name", NAMES)
def test_sentry_would_group_them_alike(seen, name, way):
    """No event carries a fingerprint, and the parts that Sentry groups by equal those of the SDK's event, except where ours are better."""
    ours, theirs = of(seen, name, way), of(seen, name, "sdk")
    apart = {(name, problem) for problem, row in theirs.items() if ours[problem].grouping != row.grouping}
    assert apart == {key for key in OTHER_STACK if key[0] == name}


@pytest.mark.parametrize("name", PLAIN)
def test_one_issue_per_problem_in_one_project(seen, name):
    """Where the SDK and the agent report into one project, each problem is one issue with the errors of both."""
    both, alone = of(seen, name, "both"), of(seen, name, "exec")
    assert both.keys() == alone.keys()
    shared = both.keys() - ONLY_OURS.get(name, set())
    assert {problem for problem in both if both[problem].events > alone[problem].events} == shared


@pytest.mark.parametrize("name", NAMES)
def test_what_the_sidecar_knows_besides(seen, name):
    """Each event names the interpreter, the system and the machine, which of these the SDK names only the first."""
    for row in of(seen, name, "exec").values():
        assert {"device", "os", "runtime"} <= set(row.contexts)
