"""The public interface, as a type checker sees it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("code", ["tests/typing/api.py"])
def test_user_code_type_checks(code, tmp_path):
    """A user's code against the contract passes mypy in strict mode, in the project's own settings."""
    pytest.importorskip("mypy")
    command = [sys.executable, "-m", "mypy", "--strict", "--no-error-summary", "--cache-dir", ROOT / ".mypy_cache", ROOT / code]
    result = subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT, timeout=110)
    assert result.stdout == ""
    assert result.returncode == 0
