"""Writes the files that are generated from the code: `python -m agent.generate config` writes the schema and the reference."""

from __future__ import annotations

import sys
from pathlib import Path

from agent.config.reference import reference, schema_text


def main(directory: Path) -> None:
    """Write the schema and the reference into a directory."""
    (directory / "outrider.schema.json").write_bytes(schema_text())
    (directory / "reference.md").write_text(reference(), encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
