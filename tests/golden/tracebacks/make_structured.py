"""Writes the structured corpus: exceptions as real logging libraries put them into JSON.

    make_structured.py PYTHON structlog-26.1.0=/path/to/site-packages …

Each package is asked for every shape it knows; `structured/<package>.jsonl` has one line for each shape and case, with
what the interpreter knows of the exception. Paths are made neutral.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).parent
SHAPES = {
    "stdlib": ("stdlib_json",),
    "structlog": ("structlog_text", "structlog_dicts", "structlog_dicts_bare", "structlog_dicts_few"),
    "loguru": ("loguru_record", "loguru_plain"),
    "python_json_logger": ("jsonlogger", "jsonlogger_array"),
    "ecs_logging": ("ecs_stdlib", "structlog_ecs"),
    "opentelemetry": ("opentelemetry",),
}


def records(python: str, shape: str, packages: str, app: Path) -> bytes:
    """The lines of one shape; nothing for a version that does not know it."""
    environment = {"PATH": os.environ["PATH"], "PYTHONPATH": packages, "PYTHONUTF8": "1", "PYTHONDONTWRITEBYTECODE": "1"}
    command = [python, str(app / "structured.py"), shape]
    answer = subprocess.run(command, check=False, capture_output=True, timeout=120, cwd=app, env=environment)
    if answer.returncode:
        print(f"  {shape}: {answer.stderr.decode().strip().splitlines()[-1]}")
        return b""
    return answer.stdout


def main() -> None:
    python = sys.argv[1]
    prefix = subprocess.run([python, "-c", "import sys; print(sys.base_prefix)"], check=True, capture_output=True).stdout.strip()
    folder = HERE / "structured"
    folder.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as directory:
        app = Path(directory).resolve() / "app"
        shutil.copytree(HERE / "programs", app, ignore=shutil.ignore_patterns("__pycache__"))
        for argument in sys.argv[2:]:
            package, _, path = argument.partition("=")
            text = b"".join(records(python, shape, path, app) for shape in SHAPES[package.partition("-")[0]])
            text = text.replace(str(app).encode(), b"/srv/app").replace(prefix, b"/usr")
            for part in path.split(":"):
                text = text.replace(part.encode() or b"\x00", b"/usr/lib/python3/site-packages")
            (folder / f"{package}.jsonl").write_bytes(text)
            print(package, text.count(b"\n"), "records")


if __name__ == "__main__":
    main()
