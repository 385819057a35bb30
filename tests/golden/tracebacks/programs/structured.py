"""Logs exceptions of the cases through a real logging library; each line is a record with what is known of it.

    structured.py SHAPE
"""
import io
import json
import logging
import sys

from cases import CASES
from driver import expected_of

NAMES = (
    "simple no_message direct_cause implicit_context from_none triple_chain package_class local_class lower_case_class "
    "multiline_message message_like_frames syntax_error_compile syntax_error_import recursion failing_str unicode_message "
    "cause_never_raised note_many note_multi_line group_nested group_member_chain group_notes group_from_cause "
    "group_as_cause group_forty group_too_deep group_of_everything"
).split()


def stdlib(formatter):
    """One record through a handler of the standard library."""
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    handler.setFormatter(formatter)
    logger = logging.Logger("app.feed")
    logger.addHandler(handler)
    logger.exception("cannot go on")
    return json.loads(stream.getvalue())


class PlainFormatter(logging.Formatter):
    """A formatter as many programs write it themselves."""

    def format(self, record):
        entry = {"timestamp": self.formatTime(record), "level": record.levelname, "message": record.getMessage()}
        if record.exc_info:
            entry["exc_info"] = self.formatException(record.exc_info)
        return json.dumps(entry)


def stdlib_json():
    return stdlib(PlainFormatter())


def jsonlogger(**options):
    try:
        from pythonjsonlogger.json import JsonFormatter
    except ImportError:
        from pythonjsonlogger.jsonlogger import JsonFormatter
    return stdlib(JsonFormatter("%(levelname)s %(message)s", **options))


def jsonlogger_array():
    return jsonlogger(exc_info_as_array=True)


def ecs_stdlib():
    import ecs_logging

    return stdlib(ecs_logging.StdlibFormatter())


def through_structlog(*processors):
    import structlog

    stream = io.StringIO()
    chain = [structlog.processors.add_log_level, *processors]
    logger = structlog.wrap_logger(structlog.PrintLogger(stream), processors=chain, wrapper_class=structlog.BoundLogger)
    logger.error("cannot go on", exc_info=True)
    return json.loads(stream.getvalue())


def structlog_text():
    import structlog

    return through_structlog(structlog.processors.format_exc_info, structlog.processors.JSONRenderer())


def structlog_dicts(**options):
    import structlog

    transformer = structlog.tracebacks.ExceptionDictTransformer(**options)
    return through_structlog(structlog.processors.ExceptionRenderer(transformer), structlog.processors.JSONRenderer())


def structlog_dicts_bare():
    return structlog_dicts(show_locals=False)


def structlog_dicts_few():
    return structlog_dicts(show_locals=False, max_frames=6)


def structlog_ecs():
    import ecs_logging
    import structlog

    return through_structlog(structlog.processors.format_exc_info, ecs_logging.StructlogFormatter())


def loguru_record(**options):
    import loguru

    stream = io.StringIO()
    loguru.logger.remove()
    number = loguru.logger.add(stream, serialize=True, **options)
    loguru.logger.exception("cannot go on")
    loguru.logger.remove(number)
    return json.loads(stream.getvalue())


def loguru_plain():
    return loguru_record(backtrace=False, diagnose=False)


def opentelemetry():
    from opentelemetry.sdk.trace import TracerProvider

    span = TracerProvider().get_tracer("app").start_span("tick")
    span.record_exception(sys.exc_info()[1])
    return dict(span.events[0].attributes)


SHAPES = {
    shape.__name__: shape
    for shape in (
        stdlib_json, jsonlogger, jsonlogger_array, ecs_stdlib, structlog_text, structlog_dicts, structlog_dicts_bare,
        structlog_dicts_few, structlog_ecs, loguru_record, loguru_plain, opentelemetry,
    )
}


def main():
    shape = sys.argv[1]
    for name in NAMES:
        if name not in CASES:
            continue
        try:
            CASES[name]()
        except Exception as exc:
            expected = expected_of(exc, set())
            try:
                record = SHAPES[shape]()
            except (RuntimeError, ValueError):
                continue  # some libraries do not survive an exception whose str() fails
            print(json.dumps({"case": name, "shape": shape, "expected": expected, "record": record}))


if __name__ == "__main__":
    main()
