"""Programs that die of an exception whose message has many lines, and have nothing else on stderr: the interpreter itself prints it.

    bare.py CASE EXPECTED.json hook|module
"""
import json
import subprocess
import sys
import threading
import traceback

from cases import AppError
from driver import told

BARE = {}


def bare(function):
    BARE[function.__name__] = function
    return function


def validate():
    raise AppError(
        "2 validation errors for Order\nquantity\n  Input should be a valid integer [type=int_parsing, input_value='x', input_type=str]\n"
        "    For further information visit https://errors.pydantic.dev/2.11/v/int_parsing\nlegs.0.price\n"
        "  Field required [type=missing, input_value={}, input_type=dict]\n"
        "    For further information visit https://errors.pydantic.dev/2.11/v/missing"
    )


def query():
    raise AppError(
        "(sqlite3.OperationalError) no such table: orders\n[SQL: SELECT orders.id, orders.price\nFROM orders\nWHERE orders.id = ?]\n"
        "[parameters: (1,)]\n(Background on this error at: https://sqlalche.me/e/20/e3q8)"
    )


def run():
    code = "import sys; sys.stderr.write('cannot open\\n\\nusage: tool FILE\\nFILE: what to read\\n'); sys.exit(3)"
    done = subprocess.run([sys.executable, "-c", code], stderr=subprocess.PIPE)
    raise RuntimeError("tool failed with code %d\nits output was\n%s" % (done.returncode, done.stderr.decode()))


@bare
def bare_lines():
    raise ValueError("first\nsecond\n  third\n\nfifth")


@bare
def bare_validation():
    validate()


@bare
def bare_database():
    query()


@bare
def bare_subprocess():
    run()


@bare
def bare_json():
    raise ValueError("refused: " + json.dumps({"orders": [{"id": 1, "legs": []}], "why": {"code": 7}}, indent=2))


@bare
def bare_begins_on_the_next_line():
    raise AssertionError("\nNot equal to tolerance rtol=1e-07\n\nMismatched elements: 1 / 2 (50%)\n x: array([1, 2])\n y: array([1, 3])")


@bare
def bare_chain():
    try:
        try:
            run()
        except RuntimeError as exc:
            raise AppError("no order\n\nis open\n") from exc
    except AppError:
        query()


@bare
def bare_colons_and_levels_inside():
    raise RuntimeError("the log said\nstep 1 of 2: fine\n-----\nstep 2 of 2: ERROR at line 3\n=====\nsee above")


@bare
def bare_thread():
    original = threading.excepthook

    def excepthook(args):
        told(args.exc_value)
        original(args)

    threading.excepthook = excepthook
    thread = threading.Thread(target=run)
    thread.start()
    thread.join()


@bare
def bare_indented_everything():
    raise ValueError("diff:\n    - a\n    + b\n  ^ here")


if sys.version_info >= (3, 11):

    @bare
    def bare_notes():
        error = ValueError("no price")
        error.add_note("while reading\nthe order 7")
        error.add_note("see the manual")
        raise error

    @bare
    def bare_group():
        errors = []
        for function in (validate, query, run):
            try:
                function()
            except Exception as exc:
                errors.append(exc)
        raise ExceptionGroup("several\nfailed", errors)


def hook(kind, exc, trace):
    told(exc)
    (traceback.print_exception if sys.argv[3] == "module" else sys.__excepthook__)(kind, exc, trace)


if __name__ == "__main__":
    sys.excepthook = hook
    BARE[sys.argv[1]]()
