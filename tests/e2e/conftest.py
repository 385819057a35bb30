"""Fixtures of the container tests: an engine, both images, a network of their own."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.support import containers

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any


@pytest.fixture(scope="session")
def prepared(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[Any, str]:
    """The engine and the image to build on; skips with the reason when there is none, or when slow tests are not selected."""
    if "slow" not in request.config.option.markexpr:
        pytest.skip("builds images, for minutes: run it with `make e2e`, or -m slow")
    module = containers.load()
    try:
        return module.prepare(tmp_path_factory.mktemp("engine"))
    except module.UnavailableError as error:
        pytest.skip(str(error))


@pytest.fixture(scope="session")
def engine(prepared: tuple[Any, str]) -> Any:
    """The engine, with the sidecar's and the workload's image built from this tree."""
    engine, base = prepared
    engine.build(containers.ROOT, containers.OUTRIDER, base)
    engine.build(containers.WORKLOAD, containers.STRATEGY_AGENT, base)
    return engine


@pytest.fixture
def network(engine: Any) -> Iterator[str]:
    """A bridge network; what runs on it goes with it."""
    with containers.load().own_network(engine) as name:
        yield name
