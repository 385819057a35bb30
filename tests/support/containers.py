"""The container engine, as the strategy agent's own tests find it: one file for both projects, loaded from where it stands."""

from __future__ import annotations

import sys
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from typing import TYPE_CHECKING

ROOT = Path(__file__).parents[2]
WORKLOAD = ROOT / "deploy" / "strategy-agent"
OUTRIDER = "localhost/outrider:e2e"
STRATEGY_AGENT = "localhost/strategy-agent:e2e"
"""The names of the images in tests."""

if TYPE_CHECKING:
    from types import ModuleType


def load() -> ModuleType:
    """`deploy/strategy-agent/tests/containers.py`."""
    name = "strategy_agent_containers"
    if name not in sys.modules:
        spec = spec_from_file_location(name, WORKLOAD / "tests" / "containers.py")
        assert spec is not None
        assert spec.loader is not None
        sys.modules[name] = module_from_spec(spec)  # before it is run: its dataclasses look themselves up
        spec.loader.exec_module(sys.modules[name])
    return sys.modules[name]
