"""Lets ``python -m strategy_agent`` start the command line."""

from __future__ import annotations

import sys

from strategy_agent.cli import main

if __name__ == "__main__":
    sys.exit(main())
