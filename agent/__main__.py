"""`python -m agent` is `outrider`. Signals first: the kernel discards signals to PID 1 that come before their handler is installed."""

from __future__ import annotations

import sys

from agent.signals import hold


def main() -> None:
    """Entry point of the `outrider` command."""
    hold(sys.argv[1:])
    from agent.cli import main as command_line  # noqa: PLC0415 - it takes a quarter of a second, in which signals come as well

    command_line()


if __name__ == "__main__":
    main()
