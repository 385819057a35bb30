"""Frames: whose code it is, its names, and which lines of which files may be sent."""

from __future__ import annotations

import os

import pytest

from agent.issues.event.encode import encode_event, value_of
from agent.issues.event.error_event import ErrorEvent
from agent.issues.event.frames import (
    MAX_FRAMES,
    EncodeOptions,
    NoSourceCode,
    class_of,
    encode_frame,
    encode_frames,
    is_in_app,
    module_of,
    short_name,
)
from agent.issues.event.source_files import MAX_FILE, SourceFiles
from agent.parse.exceptions import ExceptionInfo, Frame
from agent.target.roots import Root, own
from tests.support.sentry import NOW_NS

MODULES = {
    "/usr/lib/python3.11/json/decoder.py": ("json.decoder", "json/decoder.py", False),
    "/usr/lib/python3.11/json/__init__.py": ("json", "__init__.py", False),
    "/opt/venv/lib/python3.12/site-packages/httpx/_client.py": ("httpx._client", "httpx/_client.py", False),
    "/usr/lib/python3/dist-packages/yaml/loader.py": ("yaml.loader", "yaml/loader.py", False),
    "<frozen importlib._bootstrap>": ("importlib._bootstrap", "<frozen importlib._bootstrap>", False),
    "/app/trader.py": ("trader", "trader.py", True),
    "<string>": ("__main__", "<string>", True),
    "/usr/local/lib/python3.13t/json/decoder.py": ("json.decoder", "json/decoder.py", False),
    "/opt/lib/pypy3.10/json/decoder.py": ("json.decoder", "json/decoder.py", False),
    "C:\\srv\\trader.py": ("trader", "trader.py", True),
    "C:\\Python311\\Lib\\json\\decoder.py": ("json.decoder", "json/decoder.py", False),
    "C:\\tools\\Python\\3.11.4\\x64\\Lib\\ast.py": ("ast", "ast.py", False),
    "D:\\venv\\Lib\\site-packages\\httpx\\_client.py": ("httpx._client", "httpx/_client.py", False),
    "C:\\srv\\Lib\\trader.py": ("trader", "trader.py", True),
}


@pytest.mark.parametrize(("path", "expected"), MODULES.items(), ids=MODULES)
def test_names(path, expected):
    """Module, short file name and `in_app` of each kind of file."""
    module = module_of(path, NoSourceCode())
    assert (module, short_name(path, module), is_in_app(path, module, ())) == expected


@pytest.mark.parametrize(
    ("path", "function", "module"),
    [
        ("numpy/random/_generator.pyx", "numpy.random._generator.Generator.choice", "numpy.random._generator"),
        ("pandas/_libs/helper.pxi", "pandas._libs.hashtable.PyObjectHashTable.get_item", "pandas._libs.hashtable"),
        ("fast.pyx", "fast.price", "fast"),
        ("book.pxi", "pkg.fast.price", "pkg.fast"),
        ("odd.pyx", "price", ""),
    ],
)
def test_code_that_cython_compiled(path, function, module):
    """Cython prints no path that exists, but says which module a function is in; file and module are those that sentry-sdk tells."""
    encoded = encode_frame(Frame(path, 7, function), EncodeOptions())
    assert (encoded["filename"], encoded.get("module", "")) == (path, module or "odd.pyx")


def test_packages_are_found_on_disk(tmp_path):
    """A module's name begins at the first folder that is not a package."""
    (tmp_path / "pkg" / "sub").mkdir(parents=True)
    for folder in ("pkg", "pkg/sub"):
        (tmp_path / folder / "__init__.py").touch()
    path = f"{tmp_path}/pkg/sub/mod.py"
    assert module_of(path, SourceFiles()) == "pkg.sub.mod"
    assert short_name(path, "pkg.sub.mod") == "pkg/sub/mod.py"
    assert short_name(f"{tmp_path}/pkg/sub/__init__.py", "pkg.sub") == "pkg/sub/__init__.py"


def test_configured_prefixes_decide():
    """With prefixes only paths and modules below them are the workload's own, libraries included."""
    assert is_in_app("/srv/x.py", "x", ("/srv/",))
    assert is_in_app("/v/site-packages/mine/a.py", "mine.a", ("mine",))
    assert not is_in_app("/app/x.py", "minext", ("mine",))


def test_a_virtual_environment_below_a_prefix_is_not_the_workloads_own():
    """`/app` means the code in it, not the libraries that are installed in it; a prefix that leads to a library means that library."""
    library = "/app/.venv/lib/python3.12/site-packages/httpx/_client.py"
    assert not is_in_app(library, "httpx._client", ("/app",))
    assert not is_in_app("/app/.venv/lib/python3.12/json/decoder.py", "json.decoder", ("/app/",))
    assert is_in_app(library, "httpx._client", ("/app/.venv/lib/python3.12/site-packages/httpx",))
    assert is_in_app("/app/trader.py", "trader", ("/app",))


def test_a_builtin_of_a_later_version_is_not_main():
    """An exception class that our own interpreter does not know yet is still a builtin."""
    assert class_of(ExceptionInfo("PythonFinalizationError", None, "late", ())) == ("PythonFinalizationError", None)


def test_folded_frames_are_unfolded_within_bounds():
    """Frames that the interpreter folded are unfolded up to the bound; the newest are among them."""
    frames = [Frame("/a.py", 1, "f", repeated=3), Frame("/a.py", 2, "g")]
    assert [frame["function"] for frame in encode_frames(frames, EncodeOptions())] == ["f"] * 4 + ["g"]
    many = encode_frames([Frame("/a.py", 1, "f", repeated=10**9), Frame("/a.py", 2, "g")], EncodeOptions())
    assert len(many) == MAX_FRAMES
    assert many[-1]["function"] == "g"


def test_locals_only_when_asked_for():
    """Local variables stay behind unless the configuration asks for them."""
    frame = Frame("/a.py", 1, "f", locals={"key": "secret"})
    assert "vars" not in encode_frame(frame, EncodeOptions())
    assert encode_frame(frame, EncodeOptions(locals=True))["vars"] == {"key": "secret"}


def test_classes():
    """Builtins have no module, `__main__`'s classes print without one, made-up types have none."""
    info = ExceptionInfo("KeyError", None, "", ())
    assert class_of(info) == ("KeyError", None)
    assert class_of(ExceptionInfo("Mine", None, "", ())) == ("Mine", "__main__")
    assert class_of(ExceptionInfo("Mine", "pkg", "", ())) == ("Mine", "pkg")
    assert class_of(ExceptionInfo("SIGSEGV", "", "", ())) == ("SIGSEGV", None)


def test_values():
    """The value of a group has no count of members, that of a SyntaxError has its place, and a cut-off traceback is marked."""
    assert value_of(ExceptionInfo("ExceptionGroup", None, "many (2 sub-exceptions)\nnote", (), is_group=True)) == "many\nnote"
    assert value_of(ExceptionInfo("SyntaxError", None, "bad", (), syntax=Frame("/a/b.py", 3, ""))) == "bad (b.py, line 3)"
    assert value_of(ExceptionInfo("E", None, "a", (), notes=("b", "c"))) == "a\nb\nc"


def test_a_tree_has_its_numbers():
    """Causes and members have ids, parents and sources; the root is number 0 and comes last."""
    leaf = ExceptionInfo("ValueError", None, "leaf", ())
    group = ExceptionInfo(
        "ExceptionGroup", None, "g (1 sub-exception)", (), group=(leaf,), is_group=True, cause=ExceptionInfo("KeyError", None, "k", ())
    )
    event = ErrorEvent("1" * 32, NOW_NS, "error", ("a",), exception=group)
    values = encode_event(event, EncodeOptions())["exception"]["values"]
    assert [one["type"] for one in values] == ["ValueError", "KeyError", "ExceptionGroup"]
    places = [(one["mechanism"]["exception_id"], one["mechanism"].get("parent_id"), one["mechanism"].get("source")) for one in values]
    assert places == [(2, 0, "exceptions[0]"), (1, 0, "__cause__"), (0, None, None)]
    assert values[-1]["mechanism"]["is_exception_group"] is True


# --- files ------------------------------------------------------------------------------------------------------------


@pytest.fixture
def source(tmp_path):
    """A source file of ten lines."""
    file = tmp_path / "a.py"
    file.write_text("".join(f"line {number}\n" for number in range(1, 11)))
    return file


def test_the_lines_around(source):
    """Five lines before and after, as far as there are any."""
    frame = encode_frame(Frame(str(source), 8, "f", "line 8"), EncodeOptions(sources=SourceFiles()))
    assert frame["pre_context"] == [f"line {number}" for number in range(3, 8)]
    assert (frame["context_line"], frame["post_context"]) == ("line 8", ["line 9", "line 10"])


def test_another_version_is_not_sent(source):
    """A file whose line differs from the one in the traceback is not the code that ran: only the shown line is sent."""
    frame = encode_frame(Frame(str(source), 8, "f", "something else"), EncodeOptions(sources=SourceFiles()))
    assert frame["context_line"] == "something else"
    assert "pre_context" not in frame


def test_a_changed_file_is_read_again(source):
    """After a change the new lines count."""
    files = SourceFiles()
    assert files.lines(str(source), 1, "line 1")
    source.write_text("other\n")
    assert files.lines(str(source), 1, "line 1") is None
    assert files.lines(str(source), 1, "other")


def test_a_file_newer_than_the_process_is_not_sent(source):
    """A file that was changed after the process began is not what it runs."""
    written = source.stat().st_mtime_ns
    for newest_ns, sent in ((written - 1, False), (written, True)):
        files = SourceFiles(roots=lambda newest_ns=newest_ns: [Root(own().fd, newest_ns)])
        assert (files.lines(str(source), 1, None) is not None) is sent


def test_secrets_in_source_lines(source):
    """Lines are sent without secrets, and still recognised."""
    source.write_text("key = 'hunter2'\n")
    files = SourceFiles(clean=lambda text: text.replace("hunter2", "[REDACTED]"))
    assert files.lines(str(source), 1, "key = 'hunter2'") == ("key = '[REDACTED]'",)


def test_only_python_files_are_read(tmp_path, source):
    """A log can name any file: only a regular `.py` file is read, also behind a link."""
    secret = tmp_path / "shadow"
    secret.write_text("root:x\n")
    (tmp_path / "link.py").symlink_to(secret)
    (tmp_path / "folder.py").mkdir()
    os.mkfifo(tmp_path / "pipe.py")
    (tmp_path / "huge.py").write_bytes(b"\n" * (MAX_FILE + 1))
    files = SourceFiles()
    for name in ("shadow", "link.py", "folder.py", "pipe.py", "huge.py", "missing.py", "nul\0.py"):
        assert files.lines(f"{tmp_path}/{name}", 1, None) is None
    assert files.lines("a.py", 1, None) is None
    assert files.lines(str(source), 11, None) is None


def test_few_files_are_remembered(tmp_path):
    """Ever new files don't fill the memory."""
    files = SourceFiles()
    for number in range(200):
        file = tmp_path / f"m{number}.py"
        file.write_text("x\n")
        assert files.lines(str(file), 1, "x")
    assert len(files._files) <= 64
