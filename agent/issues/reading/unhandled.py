"""Errors that a framework logs because the workload did not handle them: which framework, and which request, task or job. Pure.

Each row holds a sentence as the framework writes it, and Sentry's name of the integration that would report the error from inside the process
(`mechanism.type`). Without such a sentence, words such as "unhandled exception" at the beginning of a message count.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from itertools import pairwise
from typing import TYPE_CHECKING, Final

from agent.issues.event.error_event import Transaction
from agent.issues.event.frames import is_library

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from agent.parse.exceptions import Frame

LONGEST: Final = 1024
"""Characters of a message that are looked at."""
_REQUEST: Final = r"(?P<method>[A-Z]{3,10}) (?P<url>\S+)"
_PATH: Final = r"(?P<url>/\S*)"
_TASK: Final = r"(?P<task>[^\s\[\](),]+)"

_SENTENCES: Final = (
    # web frameworks
    ("flask", rf"Exception on {_PATH} \[(?P<method>[A-Z]+)\]"),
    ("quart", rf"Exception on request {_REQUEST}"),
    ("quart", rf"Exception on websocket {_PATH}"),
    ("django", rf"Internal Server Error: {_PATH}"),
    ("aiohttp", r"Error handling request(?: from [\d.:a-fA-F]+)?$"),
    ("tornado", rf"Uncaught exception {_REQUEST} \("),
    ("litestar", r"Uncaught exception \(connection_type=\w+, path='?(?P<url>/[^'\s)]*)"),
    ("sanic", r"Exception occurred while handling uri: '(?P<url>[^'\s]+)'"),
    # servers
    ("asgi", r"Exception in ASGI application|Exception in 'lifespan' protocol|Error in ASGI Framework|Exception inside application\b"),
    ("wsgi", rf"Error handling request {_REQUEST}"),
    ("wsgi", rf"Error handling request (?:{_PATH}|\(no URI read\))"),
    ("wsgi", rf"Exception while serving {_PATH}|Exception occurred processing WSGI script|Error on request:|Error handling HTTP/2 request"),
    ("wsgi", r"Exception in worker process|Application callable raised an exception"),
    ("socketserver", r"Exception occurred during processing of request from"),
    ("grpc", r"Exception calling application\b|Unexpected \[[^\]]*\] raised by servicer method \[(?P<task>[^\]\s]+)\]"),
    ("websockets", r"connection handler failed|message (?:async )?handler error"),
    ("asgi", r"An error occurred running the application\."),
    ("odoo", r"Exception during (?:\w+ )?request handling\b"),
    ("streamlit", r"Uncaught app ex(?:ception|ecution)"),
    # tasks and jobs
    ("celery", rf"Task {_TASK}\[(?P<id>[^\]\s]+)\] (?:raised unexpected|INTERNAL ERROR)\b|Task handler raised error\b"),
    ("rq", r"\[?[Jj]ob (?P<id>[^\s:\]]+)\]?: exception raised while executing(?: \((?P<task>[^\s()]+)\))?"),
    ("huey", r"Unhandled (?:exception in|error during execution of) task (?P<id>[^\s.]+)"),
    ("dramatiq", rf"Failed to process message {_TASK}\(.*\) with unhandled exception"),
    ("arq", r"(?:\d+\.\d+s )?! (?P<id>[^\s:]+):(?P<task>[^\s:]+) failed, "),
    ("taskiq", r"Exception found while executing function\b"),
    ("procrastinate", rf"Job {_TASK}\[(?P<id>[^\]\s]+)\]\(.*\) ended with status: Error\b"),
    ("apscheduler", r'Job "(?P<task>[^"\n]+?)(?: \(trigger: [^\n]*)?" raised an exception|Error running job (?P<id>\S+)'),
    ("airflow", r"Task failed with exception\b"),
    ("prefect", r"Encountered (?:an )?exception during execution\b"),
    ("luigi", rf"\[pid \d+\] Worker .* failed\s+{_TASK}\("),
    ("nameko", r"error handling worker <\w+ \[(?P<task>[^\]\s]+)\]"),
    ("faust", r"Crashed reason="),
    ("kopf", r"Handler '(?P<task>[^'\s]+)' failed with an exception"),
    ("azure_functions", r"Exception while executing function: (?P<task>\S+)"),
    ("scrapy", r"Spider error processing <" + _REQUEST + r">|Error processing \{"),
    # event loops and threads
    ("asyncio", r"\w*(?:Task|Future) exception was never retrieved|Exception in callback |Exception in default exception handler"),
    ("asyncio", r"Unhandled exception in (?:event loop|client_connected_cb)|unhandled exception during asyncio\.run\(\) shutdown"),
    ("asyncio", r"an error occurred during closing of asynchronous generator|has errored out but its parent task"),
    ("threading", r"exception calling callback\b"),
    ("tkinter", r"Exception in Tkinter callback\b"),
    # bots
    ("slack_bolt", r"Failed to run (?:listener function|a middleware) \(error: "),
    ("discord", r"Ignoring exception in (?:command )?(?P<task>\w+)"),
    ("telegram", r"No error handlers are registered, logging exception|Cause exception while process update id=(?P<id>\d+)"),
)
_BEGINNING: Final = r"(?:^|(?<=[\])|:>-] ))[ \t]*"
"""A sentence begins a line, or follows the part of a line that a formatter writes before the message; in the middle of prose it does not count."""
_ROWS: Final = tuple((mechanism, re.compile(f"{_BEGINNING}(?:{sentence})", re.MULTILINE)) for mechanism, sentence in _SENTENCES)
_LAMBDA: Final = ("/var/task/", "/var/runtime/", "/var/lang/")
"""Where code is in AWS Lambda, whose runtime logs an exception of a handler without any words."""
_LEAD: Final = (
    r"an?|the|fatal|critical|got|hit|caught|encountered|logging|exiting|terminating|aborting|stopping|crash(?:ed|ing)|died|shutting down|"
    r"due|to|because|of|on|with|by|from|main|process|program|application|app|worker|service|server|thread|script|job|exception|error"
)
"""Words that may stand before "unhandled exception" where the program itself reports one."""
_AFTER: Final = (
    r"[ \t]*(?:$|[:.!,;(\[{'\"<|\u2013\u2014-])|[ \t]+(?:in|inside|within|while|when|during|processing|handling|running|executing|calling|"
    r"serving|(?:(?:was|has|has been) )?(?:occurr?ed|raised|thrown|happened))\b"
)
"""Behind it: the end, a detail, or where it happened."""
_GOES_ON: Final = r"(?![^\n]*\b(?:retr(?:y|ies|ied|ying)|ignor(?:e|ed|ing)|skip(?:ped|ping)?|continu(?:e|ed|es|ing)|recover(?:ed|ing)?|going on|fall(?:ing)? back)\b)"
_WORDS: Final = re.compile(
    rf"^[ \t]*(?:\[[^\]\n]{{0,64}}\][ \t]*)?(?:[\w.@/-]{{1,64}}:[ \t]+)?{_GOES_ON}(?:(?:{_LEAD}):?[ \t]+){{0,8}}"
    rf"un(?:handled|caught)[ \t]+(?:[a-z_]+[ \t]+){{0,2}}(?:exception|error)(?:{_AFTER})",
    re.IGNORECASE | re.MULTILINE,
)
_COROUTINE: Final = re.compile(r"\bcoro=<(?P<task>[\w.<>]+)\(\)")
_FRAMEWORKS: Final = frozenset(
    {"aiohttp", "anyio", "asgiref", "django", "falcon", "fastapi", "flask", "litestar", "quart", "sanic", "starlette"}
)
"""Packages that call a request's handler: the own frame behind their last one is it."""
_BY_HANDLER: Final = frozenset({"flask", "quart", "aiohttp", "asgi", "sanic"})
"""Integrations that name transactions by the handler."""
_IDENTIFIER: Final = re.compile(r"\d+|(?=[^/]*\d)[0-9a-fA-F-]{8,64}|[^/]{0,64}\d{4,}[^/]{0,64}|[^/]{33,}")


@dataclass(frozen=True, slots=True)
class Unhandled:
    """How an error was reported that the workload did not handle."""

    mechanism: str
    """Sentry's name of the integration."""
    transaction: Transaction | None = None
    """The request, task or job, as far as it is known."""
    tags: Mapping[str, str] = field(default_factory=dict)


def unhandled(message: str, frames: Sequence[Frame]) -> Unhandled | None:
    """The error that a logger's message reports as not handled by the workload; None if it does not."""
    said = message[:LONGEST]
    for mechanism, sentence in _ROWS:
        found = sentence.search(said)
        if found is not None:
            known = {key: value for key, value in found.groupdict().items() if value}
            tags = {f"{mechanism}_task_id": known["id"]} if "id" in known else {}
            return Unhandled(mechanism, transaction_of(mechanism, known, said, frames), tags)
    if said.startswith("[ERROR] ") and frames and frames[0].filename.startswith(_LAMBDA):
        return Unhandled("aws_lambda")
    return Unhandled("logging") if _WORDS.search(said) else None


def transaction_of(mechanism: str, known: Mapping[str, str], message: str, frames: Sequence[Frame]) -> Transaction | None:
    """The operation: a task by its name; a request by its handler, where the SDK in the process calls it so, or else by its path."""
    task = known.get("task") or (_task_of_loop(message) if mechanism == "asyncio" else "")
    if task:
        return Transaction(task, "task")
    url, _, query = known.get("url", "").partition("?")
    handler = handler_of(frames) if mechanism in _BY_HANDLER else ""
    if handler:
        return Transaction(handler, "component", known.get("method", ""), url, query)
    return Transaction(sanitized(path_of(url)), "sanitized", known.get("method", ""), url, query) if url else None


def _task_of_loop(message: str) -> str:
    found = _COROUTINE.search(message)
    return found["task"] if found else ""


def handler_of(frames: Sequence[Frame]) -> str:
    """The function that a web framework has called last: the workload's frame right behind the framework's; "" if there is none."""
    found = ""
    for caller, called in pairwise(frames):
        inside = is_library(caller.filename) and not _FRAMEWORKS.isdisjoint(re.split(r"[\\/]", caller.filename))
        if inside and not is_library(called.filename):
            found = called.function
    return found


def path_of(url: str) -> str:
    """The path of a URL, or of a request's target, which is one already."""
    scheme, separator, rest = url.partition("://")
    return "/" + rest.partition("/")[2] if separator and scheme.isalpha() else url


def sanitized(path: str) -> str:
    """A path whose identifiers are `*`, so that requests for different things are one transaction, as in Sentry's own clusters."""
    return "/".join("*" if _IDENTIFIER.fullmatch(part) else part for part in path.split("/"))
