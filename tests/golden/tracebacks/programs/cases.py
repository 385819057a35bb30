"""Programs that raise: one function per case. Runs on every CPython from 3.8; `since` says where a case makes sense."""
import sys

CASES = {}


def case(since=(3, 8)):
    def register(function):
        if sys.version_info >= since:
            CASES[function.__name__] = function
        return function

    return register


class AppError(Exception):
    pass


class Outer:
    class Inner(Exception):
        pass


class Silent(Exception):
    def __str__(self):
        raise RuntimeError("no message for you")


class MultiLine(Exception):
    def __str__(self):
        return "first line\nsecond line\n  indented third\n\nafter a blank"


class Über(Exception):
    pass


def divide(a, b):
    return a / b


@case()
def simple():
    divide(1, 0)


@case()
def no_message():
    raise ValueError


@case()
def empty_string_message():
    raise ValueError("")


@case()
def direct_cause():
    try:
        divide(1, 0)
    except ZeroDivisionError as exc:
        raise AppError("cannot compute") from exc


@case()
def implicit_context():
    try:
        divide(1, 0)
    except ZeroDivisionError:
        {}["missing"]


@case()
def from_none():
    try:
        divide(1, 0)
    except ZeroDivisionError:
        raise AppError("context hidden") from None


@case()
def triple_chain():
    try:
        try:
            divide(1, 0)
        except ZeroDivisionError as exc:
            raise KeyError("second") from exc
    except KeyError:
        raise OSError(2, "third", "/srv/app/data.txt")


@case()
def long_chain():
    error = None
    for number in range(12):
        try:
            try:
                raise ValueError("link %d" % number)
            except ValueError as exc:
                if number % 2:
                    raise exc from error
                exc.__context__ = error
                raise
        except ValueError as exc:
            error = exc
    raise error


@case()
def cause_never_raised():
    raise AppError("the cause has no traceback") from ValueError("never raised")


@case()
def cause_multiline_never_raised():
    raise AppError("late") from MultiLine()


@case()
def nested_class():
    raise Outer.Inner("of a nested class")


@case()
def local_class():
    class LocalError(Exception):
        pass

    raise LocalError("of a local class")


@case()
def package_class():
    import package.errors

    package.errors.fail()


@case()
def package_nested_class():
    import package.errors

    package.errors.fail_nested()


@case()
def package_local_class():
    import package.errors

    package.errors.fail_local()


@case()
def lower_case_class():
    import zlib

    zlib.decompress(b"no")


@case()
def dotted_stdlib_class():
    import json

    json.loads("{")


@case()
def multiline_message():
    raise MultiLine()


@case()
def message_like_frames():
    raise AppError('worker said:\n  File "/srv/app/fake.py", line 1, in fake\n    fake()\nValueError: not the real one')


@case()
def message_with_traceback():
    import traceback

    try:
        divide(1, 0)
    except ZeroDivisionError:
        text = traceback.format_exc()
    raise AppError("the worker failed:\n" + text) from None


@case()
def message_with_separator_words():
    raise AppError("During handling of the above exception, another exception occurred:")


@case()
def message_ends_with_newline():
    raise AppError("ends with a newline\n")


@case()
def message_starts_with_newline():
    raise AppError("\nstarts with a newline")


@case()
def message_in_chain_ends_with_newline():
    try:
        raise AppError("ends with newlines\n\n")
    except AppError as exc:
        raise ValueError("and goes on") from exc


@case()
def message_with_colons():
    raise AppError("a: b: c: https://example.org/?q=1#x")


@case()
def message_with_carriage_return():
    raise AppError("progress 1%\rprogress 2%\rdone")


@case()
def message_with_control_characters():
    raise AppError("bell \x07 form feed \x0c unit \x1f next line \x85 separator \u2028 end")


@case()
def key_error_with_newline():
    {}["first\nsecond"]


@case()
def long_message():
    raise AppError("x" * 5000)


@case()
def long_source_line():
    raise AppError(len("xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx") / 0)


@case()
def unicode_message():
    raise Über("größer als 10 € — 日本語 🐍")


@case()
def wide_characters_in_source():
    größe = {"日本": 0}; return größe["日本"] + 1 / größe["日本"]


@case()
def lone_surrogate():
    raise AppError("broken \udcff text")


@case()
def failing_str():
    raise Silent()


@case()
def not_a_string_message():
    raise AppError(1, 2, {"a": [1]})


def recurse(n):
    return recurse(n - 1) if n else divide(1, 0)


@case()
def recursion():
    recurse(20)


@case()
def recursion_by_four():
    recurse(3)


@case()
def recursion_by_five():
    recurse(4)


def ping(n):
    return pong(n - 1)


def pong(n):
    return ping(n - 1) if n > 0 else divide(1, 0)


@case()
def mutual_recursion():
    ping(9)


@case()
def syntax_error_compile():
    compile("def f(:\n    pass\n", "/srv/app/typed.py", "exec")


@case()
def syntax_error_eval():
    eval("1 +")


@case()
def syntax_error_import():
    import broken_syntax


@case()
def indentation_error_import():
    import broken_indent


@case()
def tab_error():
    compile("if True:\n        a = 1\n\tb = 2\n", "/srv/app/tabs.py", "exec")


@case()
def syntax_error_without_text():
    raise SyntaxError("raised by hand")


@case()
def syntax_error_in_chain():
    try:
        compile("a b", "/srv/app/typed.py", "exec")
    except SyntaxError as exc:
        raise AppError("bad template") from exc


@case()
def syntax_error_never_raised_cause():
    raise AppError("late") from SyntaxError("odd", ("/srv/app/typed.py", 3, 5, "  a b\n"))


@case()
def import_error():
    import no_such_module


@case()
def import_name_error():
    from package.errors import nothing_here


@case()
def failing_import():
    import importlib

    importlib.import_module("broken_runtime")


@case()
def name_error():
    return undefined_thing_of_ours


@case(since=(3, 12))
def did_you_mean():
    undefined_thing = 1
    return undefined_thin


@case()
def attribute_error():
    None.strategy


@case()
def executed_string():
    exec("def inner():\n    raise ValueError('from a string')\ninner()")


@case()
def missing_source():
    exec(compile("def inner():\n    raise ValueError('no source')\n\ninner()", "/srv/app/gone.py", "exec"))


@case()
def odd_file_name():
    exec(compile("1 / 0", 'a "quoted", line 3, in name.py', "exec"))


@case()
def lambda_and_comprehension():
    return [(lambda x: 1 / x)(value) for value in (1, 0)]


@case()
def generator_expression():
    return sum(1 / value for value in (1, 0))


@case()
def dict_comprehension():
    return {value: 1 / value for value in (1, 0)}


@case()
def multi_line_call():
    return divide(
        len(
            "first argument",
        ),
        0,
    )


@case()
def multi_line_expression():
    values = {"a": 1, "b": 0}
    return (
        values["a"]
        + values["a"]
        / values["b"]
        + values["a"]
    )


@case()
def multi_line_long_call():
    return dict(
        a=1,
        b=2,
        c=3,
        d=4,
        e=5,
        f=6,
        g=divide(1, 0),
        h=8,
        i=None.real,
    )


@case()
def multi_line_long_failing_call():
    return divide.__call__(
        1,
        # one
        # two
        # three
        # four
        # five
        # six
        0,
        **{"a": 1},
    )


@case()
def subscript_carets():
    data = {"a": {"b": None}}
    return data["a"]["b"]["c"]


@case()
def binary_operator_carets():
    a, b = 1, "x"
    return (1 + 2) * a + b


@case()
def method_chain():
    return "text".upper().lower().nothing().strip()


@case()
def semicolons_and_tabs():
    if True:
	    a = 1; b = 0; c = a / b


@case()
def assertion():
    assert 1 == 2, "arithmetic still holds"


@case()
def assertion_bare():
    assert not True


@case()
def system_exit():
    sys.exit("stopped by hand")


@case()
def keyboard_interrupt():
    raise KeyboardInterrupt


@case()
def stop_iteration():
    next(iter(()))


@case()
def unicode_decode_error():
    b"\xff\xfe".decode("utf-8")


@case()
def os_error():
    open("/srv/app/nothing/here.txt")


@case()
def subprocess_error():
    import subprocess

    subprocess.run([sys.executable, "-c", "raise SystemExit(3)"], check=True)


class Manager:
    def __enter__(self):
        return self

    def __exit__(self, *exc_info):
        raise AppError("exit failed too")


@case()
def context_manager():
    with Manager():
        divide(1, 0)


@case()
def finally_raises():
    try:
        divide(1, 0)
    finally:
        raise AppError("in finally")


def decorate(function):
    def wrapper(*args):
        return function(*args)

    return wrapper


@case()
def decorated():
    decorate(divide)(1, 0)


@case()
def property_raises():
    class Thing:
        @property
        def value(self):
            return divide(1, 0)

    return Thing().value


@case()
def generator_throw():
    def numbers():
        try:
            yield 1
        except ValueError as exc:
            raise AppError("generator failed") from exc

    generator = numbers()
    next(generator)
    generator.throw(ValueError("thrown in"))


@case()
def async_simple():
    import asyncio

    async def inner():
        await asyncio.sleep(0)
        divide(1, 0)

    asyncio.run(inner())


@case()
def executor():
    from concurrent.futures import ThreadPoolExecutor

    with ThreadPoolExecutor(1) as pool:
        pool.submit(divide, 1, 0).result()


@case()
def process_pool():
    import multiprocessing

    with multiprocessing.get_context("fork").Pool(1) as pool:
        pool.apply(divide, (1, 0))


@case()
def circular_chain():
    first, second = ValueError("first"), KeyError("second")
    first.__cause__, second.__cause__ = second, first
    raise first


@case(since=(3, 11))
def note_single():
    error = AppError("with a note")
    error.add_note("symbol: BTC-USDT")
    raise error


@case(since=(3, 11))
def note_many():
    error = AppError("with notes")
    for number in range(5):
        error.add_note("note %d" % number)
    raise error


@case(since=(3, 11))
def note_multi_line():
    error = AppError("with a long note")
    error.add_note("first line of the note\n  second line\n\nlast line")
    raise error


@case(since=(3, 11))
def note_without_message():
    error = AppError()
    error.add_note("only a note")
    raise error


@case(since=(3, 11))
def note_in_chain():
    try:
        error = ValueError("inner")
        error.add_note("inner note")
        raise error
    except ValueError as exc:
        outer = AppError("outer")
        outer.add_note("outer note")
        raise outer from exc


def raised(error, cause=None):
    try:
        if cause is None:
            raise error
        raise error from cause
    except BaseException as exc:
        return exc


@case(since=(3, 11))
def group_simple():
    raise ExceptionGroup("two failed", [raised(ValueError("a")), raised(KeyError("b"))])


@case(since=(3, 11))
def group_never_raised_members():
    raise ExceptionGroup("bare", [ValueError("a"), TypeError("b"), OSError()])


@case(since=(3, 11))
def group_of_one():
    raise ExceptionGroup("one", [ValueError("alone")])


@case(since=(3, 11))
def group_nested():
    inner = raised(ExceptionGroup("inner", [raised(OSError("x")), KeyError("y")]))
    raise ExceptionGroup("outer", [raised(ValueError("a")), inner, raised(TypeError("z"))])


@case(since=(3, 11))
def group_nested_last():
    inner = raised(ExceptionGroup("inner", [OSError("x"), KeyError("y")]))
    raise ExceptionGroup("outer", [ValueError("a"), inner])


@case(since=(3, 11))
def group_nested_headless():
    raise ExceptionGroup("outer", [ExceptionGroup("inner", [ExceptionGroup("core", [ValueError("deep")])])])


@case(since=(3, 11))
def group_fifteen():
    raise ExceptionGroup("fifteen", [ValueError(number) for number in range(15)])


@case(since=(3, 11))
def group_sixteen():
    raise ExceptionGroup("sixteen", [ValueError(number) for number in range(16)])


@case(since=(3, 11))
def group_forty():
    raise ExceptionGroup("forty", [raised(ValueError(number)) for number in range(40)])


@case(since=(3, 11))
def group_too_deep():
    error = ValueError("core")
    for level in range(14):
        error = ExceptionGroup("level %d" % level, [error])
    raise error


@case(since=(3, 11))
def group_too_deep_between():
    error = ValueError("core")
    for level in range(12):
        error = ExceptionGroup("level %d" % level, [KeyError("before"), error, OSError("after")])
    raise error


@case(since=(3, 11))
def group_as_cause():
    try:
        raise ExceptionGroup("many", [ValueError("a"), KeyError("b")])
    except ExceptionGroup as exc:
        raise AppError("because of many") from exc


@case(since=(3, 11))
def group_from_cause():
    try:
        divide(1, 0)
    except ZeroDivisionError as exc:
        raise ExceptionGroup("many", [ValueError("a"), KeyError("b")]) from exc


@case(since=(3, 11))
def group_between():
    try:
        try:
            divide(1, 0)
        except ZeroDivisionError:
            raise ExceptionGroup("many", [ValueError("a")])
    except ExceptionGroup as exc:
        raise AppError("last") from exc


@case(since=(3, 11))
def group_member_chain():
    first = raised(AppError("outer one"), raised(ValueError("inner one")))
    second = raised(AppError("outer two"), raised(KeyError("inner two")))
    raise ExceptionGroup("chained members", [first, second])


@case(since=(3, 11))
def group_member_caused_by_group():
    inner = raised(ExceptionGroup("inner", [ValueError("a"), ValueError("b")]))
    raise ExceptionGroup("outer", [raised(AppError("because of a group"), inner), KeyError("next")])


@case(since=(3, 11))
def group_last_member_caused_by_group():
    inner = raised(ExceptionGroup("inner", [ValueError("a"), ValueError("b")]))
    raise ExceptionGroup("outer", [KeyError("first"), raised(AppError("because of a group"), inner)])


@case(since=(3, 11))
def group_unclosed_then_chain():
    inner = raised(ExceptionGroup("inner", [ValueError("a")]))
    try:
        raise ExceptionGroup("outer", [raised(AppError("because of a group"), inner)])
    except ExceptionGroup:
        raise OSError("afterwards")


@case(since=(3, 11))
def group_notes():
    member = ValueError("member")
    member.add_note("a note\nof two lines")
    error = ExceptionGroup("with notes", [member, KeyError("b")])
    error.add_note("note of the group")
    raise error


@case(since=(3, 11))
def group_multiline_member():
    raise ExceptionGroup("lines", [raised(MultiLine()), KeyError("b")])


@case(since=(3, 11))
def group_multiline_message():
    raise ExceptionGroup("line one\nline two", [KeyError("b")])


@case(since=(3, 11))
def group_syntax_error():
    members = []
    for source in ("a b", "def f(:"):
        try:
            compile(source, "/srv/app/typed.py", "exec")
        except SyntaxError as exc:
            members.append(exc)
    raise ExceptionGroup("templates", members)


@case(since=(3, 11))
def group_base():
    raise BaseExceptionGroup("stopping", [KeyboardInterrupt(), ValueError("a")])


@case(since=(3, 11))
def group_recursion():
    try:
        recurse(20)
    except ZeroDivisionError as exc:
        raise ExceptionGroup("deep calls", [exc])


@case(since=(3, 11))
def group_subclass():
    import package.groups

    raise package.groups.BatchError("batch", [raised(ValueError("a"))])


@case(since=(3, 11))
def task_group():
    import asyncio

    async def fail(number):
        raise ValueError("task %d" % number)

    async def main():
        async with asyncio.TaskGroup() as group:
            group.create_task(fail(1))
            group.create_task(fail(2))

    asyncio.run(main())


@case(since=(3, 11))
def group_of_everything():
    chain = raised(AppError("late"), raised(ValueError("early")))
    chain.add_note("a note")
    inner = raised(ExceptionGroup("inner", [chain, MultiLine(), ExceptionGroup("core", [Silent()])]))
    try:
        raise ExceptionGroup("outer", [inner, raised(recurse_error())])
    except ExceptionGroup as exc:
        raise AppError("in the end") from exc


def recurse_error():
    try:
        recurse(9)
    except ZeroDivisionError as exc:
        return exc
