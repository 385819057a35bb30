"""Lets ``python -m strategy_agent`` start the command line."""

from strategy_agent.cli import main

raise SystemExit(main())
