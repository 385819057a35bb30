"""Writes the corpus: tracebacks printed by real interpreters, with what those interpreters know of the exceptions.

    make_corpus.py [PREFIX] 3.8=/path/to/python3.8 3.14=/path/to/python3.14 …

For each version and case: `<case>.txt` as `sys.excepthook` prints it, `<case>.module.txt` as the `traceback` module
does where that differs, `<case>.colour.txt` in colours (3.13 on). With a prefix only the cases that begin so are written,
and the others stay as some other release of the same version printed them. `expected.json` has a line for each case: types,
messages and frames from a walk over the traceback objects, so that the tests do not lean on our parser. Paths are
made neutral.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).parent
PROGRAMS = HERE / "programs"
NEUTRAL_APP = "/srv/app"
NEUTRAL_PREFIX = "/usr"
COLOURED = ("simple", "triple_chain", "group_nested", "syntax_error_import", "multi_line_expression", "recursion")


class Interpreter:
    """One CPython, run on copies of the programs in a directory of its own."""

    def __init__(self, python: str, app: Path) -> None:
        self.python = python
        self.app = app
        self.version = self.ask("import sys; print('%d.%d' % sys.version_info[:2])")
        self.prefix = self.ask("import sys; print(sys.base_prefix)")

    def ask(self, code: str) -> str:
        return subprocess.run([self.python, "-c", code], check=True, capture_output=True, text=True, timeout=60).stdout.strip()

    def names(self, code: str) -> list[str]:
        answer = subprocess.run(
            [self.python, "-c", code], check=True, capture_output=True, text=True, timeout=60, cwd=self.app, env=self.environment()
        )
        return answer.stdout.split()

    def environment(self, **more: str) -> dict[str, str]:
        keep = {key: os.environ[key] for key in ("PATH", "HOME") if key in os.environ}
        return {**keep, "PYTHONUTF8": "1", "PYTHONDONTWRITEBYTECODE": "1", "PYTHON_COLORS": "0", **more}

    def run(self, program: str, *arguments: str, **more: str) -> tuple[bytes, object]:
        """Standard error, and the expectation the program wrote, both with neutral paths."""
        expected = self.app.parent / "expected.json"
        expected.unlink(missing_ok=True)
        command = [self.python, str(self.app / program), arguments[0], str(expected), *arguments[1:]]
        answer = subprocess.run(command, check=False, capture_output=True, timeout=60, cwd=self.app, env=self.environment(**more))
        if not expected.exists():
            raise SystemExit(f"{self.version} {arguments}: nothing told\n{answer.stderr.decode()}")
        return self.neutral(answer.stderr), json.loads(self.neutral(expected.read_bytes()))

    def neutral(self, text: bytes) -> bytes:
        text = text.replace(str(self.app).encode(), NEUTRAL_APP.encode()).replace(str(self.python).encode(), b"/usr/bin/python3")
        return text.replace(self.prefix.encode(), NEUTRAL_PREFIX.encode())


class Corpus:
    """The files of one version whose names begin with a prefix; those of others are left alone."""

    def __init__(self, folder: Path, prefix: str = "") -> None:
        self.folder = folder
        self.prefix = prefix
        folder.mkdir(exist_ok=True)
        told = folder / "expected.json"
        known = json.loads(told.read_text()) if told.exists() else {}
        self.expected: dict[str, object] = {name: value for name, value in known.items() if not name.startswith(prefix)}
        for path in folder.glob(f"{prefix}*.txt"):
            path.unlink()

    def write(self, name: str, text: bytes, expected: object) -> None:
        if not name.startswith(self.prefix):
            return
        (self.folder / f"{name}.txt").write_bytes(text)
        self.expected[name.partition(".")[0]] = expected

    def close(self) -> None:
        lines = [f"{json.dumps(name)}: {json.dumps(value, sort_keys=True)}" for name, value in sorted(self.expected.items())]
        (self.folder / "expected.json").write_text("{\n" + ",\n".join(lines) + "\n}\n")


def make_cases(interpreter: Interpreter, corpus: Corpus) -> None:
    for name in interpreter.names("import cases; print(*cases.CASES)"):
        hook, expected = interpreter.run("driver.py", name, "hook")
        module, _ = interpreter.run("driver.py", name, "module")
        corpus.write(name, hook, expected)
        if module != hook:
            corpus.write(f"{name}.module", module, expected)
        if name in COLOURED and interpreter.version in ("3.13", "3.14"):
            colour, _ = interpreter.run("driver.py", name, "hook", PYTHON_COLORS="1", FORCE_COLOR="1")
            corpus.write(f"{name}.colour", colour, expected)


def make_bare(interpreter: Interpreter, corpus: Corpus) -> None:
    for name in interpreter.names("import sys; sys.argv = ['bare.py', '', '/dev/null', '']; import bare; print(*bare.BARE)"):
        hook, expected = interpreter.run("bare.py", name, "hook")
        module, _ = interpreter.run("bare.py", name, "module")
        corpus.write(name, hook, expected)
        if module != hook:
            corpus.write(f"{name}.module", module, expected)


def make_others(interpreter: Interpreter, corpus: Corpus) -> None:
    names = "import sys; sys.argv = ['driver.py', '', '/dev/null', '']; import hooks; print(*hooks.HOOKS)"
    for name in interpreter.names(names):
        corpus.write(name, *interpreter.run("driver.py", name, "threads"))
    for name in ("segmentation_fault", "aborted", "segmentation_fault_with_threads", "deep_stack"):
        corpus.write(f"fatal_{name}", *interpreter.run("fatal.py", name))


def main() -> None:
    prefix = next((argument for argument in sys.argv[1:] if "=" not in argument), "")
    for argument in [argument for argument in sys.argv[1:] if "=" in argument]:
        version, _, python = argument.partition("=")
        with tempfile.TemporaryDirectory() as directory:
            app = Path(directory).resolve() / "app"
            shutil.copytree(PROGRAMS, app, ignore=shutil.ignore_patterns("__pycache__"))
            interpreter = Interpreter(python, app)
            if interpreter.version != version:
                raise SystemExit(f"{python} is {interpreter.version}, not {version}")
            corpus = Corpus(HERE / version, prefix)
            make_cases(interpreter, corpus)
            make_bare(interpreter, corpus)
            make_others(interpreter, corpus)
            corpus.close()
            print(version, len(list(corpus.folder.glob("*.txt"))), "texts")


if __name__ == "__main__":
    main()
