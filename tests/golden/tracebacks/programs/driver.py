"""Runs one case: what the interpreter itself knows of the exception goes to a file, what it prints to stderr.

    driver.py CASE EXPECTED.json hook|module|threads
"""
import json
import sys
import traceback


def frames_of(tb):
    frames = []
    while tb is not None:
        code = tb.tb_frame.f_code
        frames.append([code.co_filename, tb.tb_lineno, code.co_name])
        tb = tb.tb_next
    return frames


def value_of(exc):
    """The message as printed: TracebackException's, which copes with a failing str() and adds suggestions."""
    told = traceback.TracebackException(type(exc), exc, exc.__traceback__)
    return told.msg if isinstance(exc, SyntaxError) else str(told)


def syntax_of(exc):
    if not isinstance(exc, SyntaxError) or exc.lineno is None:
        return None
    return [exc.filename or "<string>", int(exc.lineno), (exc.text or "").strip()]


def expected_of(exc, seen):
    seen.add(id(exc))
    kind = type(exc)
    expected = {
        "module": kind.__module__,
        "type": kind.__qualname__,
        "value": value_of(exc),
        "notes": list(getattr(exc, "__notes__", [])),
        "frames": frames_of(exc.__traceback__),
        "syntax": syntax_of(exc),
    }
    older = exc.__cause__ if exc.__cause__ is not None else None if exc.__suppress_context__ else exc.__context__
    if older is not None and id(older) not in seen:
        expected["cause" if exc.__cause__ is not None else "context"] = expected_of(older, seen)
    if hasattr(exc, "exceptions") and "Group" in "".join(base.__name__ for base in kind.__mro__):
        expected["group"] = [expected_of(member, seen) for member in exc.exceptions]
    return expected


def told(exc):
    with open(sys.argv[2], "w") as file:
        json.dump(expected_of(exc, set()), file)


def main():
    name, mode = sys.argv[1], sys.argv[3]
    if mode == "threads":
        from hooks import HOOKS

        return HOOKS[name]()
    from cases import CASES

    try:
        CASES[name]()
    except BaseException as exc:
        told(exc)
        if mode == "hook":
            sys.__excepthook__(type(exc), exc, exc.__traceback__)
        else:
            traceback.print_exception(type(exc), exc, exc.__traceback__)


if __name__ == "__main__":
    sys.modules["driver"] = sys.modules["__main__"]
    main()
