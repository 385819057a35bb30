"""What the container tests read off a machine."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import pytest

from tests.containers import Engine, UnavailableError, debian_mirror, find_engine, pip_settings

DEB822 = """Types: deb
# an archive http://archive.example/debian
URIs: http://mirror.example/debian
Suites: bookworm
"""


@pytest.mark.parametrize(
    ("sources", "mirror"),
    [
        (DEB822, "http://mirror.example/debian"),
        ("deb [signed-by=/x.gpg] https://one.example/debian/ bookworm main\n", "https://one.example/debian/"),
        ("deb https://other.example/apt stable main\n", None),
        ("deb http://mirror.example/debian-security bookworm-security main\n", None),
        ("# deb http://mirror.example/debian bookworm main\n", None),
        ("", None),
    ],
)
def test_the_mirror_is_the_one_that_apt_uses(sources: str, mirror: str | None) -> None:
    """Both of apt's formats are read; neither comments nor other archives are taken for Debian."""
    assert debian_mirror(sources) == mirror


def test_pip_settings_lose_their_section_and_their_quotes() -> None:
    """What is set in the environment and in files counts alike; folders of the host are of no use in an image."""
    listed = f"global.timeout='20'\n:env:.cert='/nowhere/ca.pem'\n:env:.find-links='{Path.cwd()}'\nnonsense\n"
    assert pip_settings(listed) == {"timeout": "20", "cert": "/nowhere/ca.pem"}


def test_an_engine_that_is_not_there_is_a_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without an engine the container tests are told why they cannot run."""
    monkeypatch.setenv("CONTAINER_ENGINE", "no-such-engine")
    with pytest.raises(UnavailableError, match="no container engine that answers"):
        find_engine()


def test_every_right_is_taken_away() -> None:
    """No restriction that an image can bear is missing, and Podman gets no writable extras."""
    given = Engine("podman").restrictions("net")
    assert {"--read-only", "--read-only-tmpfs=false"} <= set(given)
    pairs = dict(pairwise(given))
    assert pairs["--cap-drop"] == "ALL"
    assert pairs["--security-opt"] == "no-new-privileges"
    assert pairs["--user"] == "65532:65532"
    assert {"--memory", "--cpus", "--pids-limit", "--memory-reservation"} <= set(given)
    assert "--read-only-tmpfs=false" not in Engine("docker").restrictions("net")
