"""Which configuration comes next, without running any."""

from __future__ import annotations

from unittest.mock import Mock

import pytest

from agent.component import Unread
from agent.config.settings import Settings
from agent.errors import ConfigError, UnavailableError
from agent.host.runtime import Agent


class Configuration:
    """A generation that can be opened unless it fails; while it runs, the test's script does something."""

    def __init__(self, settings, fails=False, script=lambda: None):
        self.settings, self._fails, self._script = settings, fails, script
        self.done = []
        self.unread = Unread()

    async def open(self):
        """Listen, or not."""
        self.done.append("open")
        self._script()
        if self._fails:
            raise UnavailableError("taken")

    async def run(self, turn, ends):
        """End when the turn comes."""
        self._script()
        await turn.wait()
        self.done.append("last" if ends() else "run")


def when_it_runs(act):
    """A script that does nothing at the opening."""
    calls = []

    def script():
        calls.append(1)
        if len(calls) == 2:
            act()

    return script


@pytest.fixture
def agent():
    """An agent whose configurations are made by the test; what it discards is noted."""
    made = Agent(Settings(), reload=Settings, pages=Mock())
    made.discarded = []
    made._discard = made.discarded.append
    made._telemetry = Mock()
    return made


def reload_to(agent, *upcoming):
    """SIGHUP, once for each of these."""
    for one in upcoming:
        agent._build = lambda _settings, one=one: one
        agent.reload()


async def test_a_configuration_that_is_superseded_before_it_started_is_closed(agent):
    """Two quick SIGHUPs: the second counts, what was built for the first is let go."""
    second, third = Configuration(Settings()), Configuration(Settings(), script=lambda: agent.stop("enough"))
    first = Configuration(Settings(), script=when_it_runs(lambda: reload_to(agent, second, third)))

    await agent._run_generations(first)

    assert (agent.discarded, second.done) == ([second], [])
    assert third.done == ["open", "last"]


async def test_a_stop_closes_what_was_to_come(agent):
    """SIGHUP, then SIGTERM at once: the new configuration never starts."""
    second = Configuration(Settings())
    reload_to(agent, second)
    agent.stop("SIGTERM")
    reload_to(agent, Configuration(Settings()))

    assert (agent.discarded, agent._next) == ([second], None)


async def test_a_reload_while_a_bad_one_is_tried_is_not_forgotten(agent):
    """It cannot listen, and before that is known the next SIGHUP comes: that one is taken, not the old one again."""
    agent._settings = old = Settings()
    good = Configuration(Settings(), script=lambda: agent.stop("enough"))
    bad = Configuration(Settings(service={"name": "bad"}), fails=True, script=lambda: reload_to(agent, good))
    first = Configuration(old, script=when_it_runs(lambda: reload_to(agent, bad)))

    await agent._run_generations(first)

    assert (bad.done, good.done) == (["open"], ["open", "last"])


def test_a_configuration_that_cannot_be_built_is_refused(agent):
    """The old one stays in force, and none is to follow."""
    agent._reload = Mock(side_effect=ConfigError("wrong"))
    agent.reload()

    assert agent._next is None
    assert not agent._turn.is_set()


def test_only_a_second_signal_hurries_the_end(agent):
    """The end that the agent has begun by itself, once or twice, is not hurried by that; nor by the first signal."""
    agent.stop("the command has ended")
    agent.stop("the command has ended")
    assert not agent._hurry.is_set()

    agent._stopping = False
    agent.stop_by("SIGTERM")
    assert not agent._hurry.is_set()

    agent.stop_by("SIGINT")
    assert agent._hurry.is_set()
