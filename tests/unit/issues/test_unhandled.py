"""Errors that a framework logs for the workload: unhandled, and of which request, task or job."""

from __future__ import annotations

import pytest

from agent.issues.event.encode import encode_event
from agent.issues.event.frames import EncodeOptions
from agent.issues.reading.record_event import record_event
from agent.issues.reading.record_exception import ends_the_interpreter
from agent.issues.reading.rules import Rules
from agent.issues.reading.unhandled import handler_of, path_of, sanitized, unhandled
from agent.parse.exceptions import Frame
from tests.support.sentry import SUBJECT, records_of

LIBRARY = "/venv/lib/python3.12/site-packages"
TRACEBACK = 'Traceback (most recent call last):\n  File "/srv/shop/views.py", line 4, in basket\n    total[key]\nKeyError: 3\n'

# message → mechanism, name of the transaction, method, path or URL
REQUESTS = {
    "Exception on /pay [POST]": ("flask", "/pay", "POST", "/pay"),
    "Exception on request GET /pay?x=1": ("quart", "/pay", "GET", "/pay"),
    "Exception on websocket /feed": ("quart", "/feed", "", "/feed"),
    "Internal Server Error: /orders/4711/items/": ("django", "/orders/*/items/", "", "/orders/4711/items/"),
    "Uncaught exception PUT /v2/orders/9f8e7d6c5b (127.0.0.1)": ("tornado", "/v2/orders/*", "PUT", "/v2/orders/9f8e7d6c5b"),
    "Exception occurred while handling uri: 'https://shop.example/a/b'": ("sanic", "/a/b", "", "https://shop.example/a/b"),
    "Uncaught exception (connection_type=http, path='/basket/7'):": ("litestar", "/basket/*", "", "/basket/7"),
    "Error handling request GET /a": ("wsgi", "/a", "GET", "/a"),
    "Error handling request /a?b=c": ("wsgi", "/a", "", "/a"),
    "Exception while serving /report": ("wsgi", "/report", "", "/report"),
    "Spider error processing <GET https://example.org/p/1> (referer: None)": ("scrapy", "/p/*", "GET", "https://example.org/p/1"),
}
# message → mechanism, name of the task, id of the task
TASKS = {
    "Task shop.tasks.charge[5d0c1a52-9d2f-4a57-8f0e-1c1f3ad0f6a1] raised unexpected: KeyError(3)": (
        "celery",
        "shop.tasks.charge",
        "5d0c1a52-9d2f-4a57-8f0e-1c1f3ad0f6a1",
    ),
    "Task charge[77] INTERNAL ERROR: KeyError(3)": ("celery", "charge", "77"),
    "Worker w1: job 41-x: exception raised while executing (shop.charge)": ("rq", "shop.charge", "41-x"),
    "[Job 41-x]: exception raised while executing (shop.charge)": ("rq", "shop.charge", "41-x"),
    "Unhandled exception in task 8a-1.": ("huey", None, "8a-1"),
    "Failed to process message charge(1, 'x (y)') with unhandled exception.": ("dramatiq", "charge", None),
    "  0.02s ! 7f:charge failed, KeyError: 3": ("arq", "charge", "7f"),
    'Job "charge (trigger: interval[0:00:01], next run at: 2026-01-01 10:00:00 UTC)" raised an exception': ("apscheduler", "charge", None),
    "Job shop.charge[12](user=3) ended with status: Error, lasted 0.1 s": ("procrastinate", "shop.charge", "12"),
    "Unexpected [KeyError] raised by servicer method [/shop.Pay/Charge]": ("grpc", "/shop.Pay/Charge", None),
    "[pid 7] Worker Worker(salt=1, host=h) failed    Load(day=2026-01-01)": ("luigi", "Load", None),
    "error handling worker <WorkerContext [shop.charge] at 0x7f>: 3": ("nameko", "shop.charge", None),
    "Handler 'create_fn' failed with an exception. Will retry.": ("kopf", "create_fn", None),
    "Ignoring exception in on_message": ("discord", "on_message", None),
}
OTHERS = {
    "Exception in ASGI application": "asgi",
    "Exception in 'lifespan' protocol": "asgi",
    "Error in ASGI Framework": "asgi",
    "Error handling request": "aiohttp",
    "Error handling request from 10.1.2.3": "aiohttp",
    "Error handling request (no URI read)": "wsgi",
    "Exception in worker process": "wsgi",
    "Future exception was never retrieved": "asyncio",
    "_GatheringFuture exception was never retrieved": "asyncio",
    "Exception in callback Feed.poll() at /srv/feed.py:3": "asyncio",
    "unhandled exception during asyncio.run() shutdown": "asyncio",
    "Exception calling application: 3": "grpc",
    "Exception found while executing function.": "taskiq",
    "exception calling callback for <Future at 0x7f state=finished raised KeyError>": "threading",
    "exception calling callback <Future at 0x7f state=finished raised KeyError>": "threading",
    "----------------------------------------\nException occurred during processing of request from ('::1', 1, 0, 0)": "socketserver",
    "Exception occurred during processing of request from ('127.0.0.1', 52114)": "socketserver",
    "[^Agent*: shop.charge]: Crashed reason=KeyError(3)": "faust",
    "Uncaught app execution": "streamlit",
    "An error occurred running the application.": "asgi",
    "Exception during request handling.": "odoo",
    "Exception during JSON request handling.": "odoo",
    "Exception in Tkinter callback": "tkinter",
    "Failed to run listener function (error: 'price')": "slack_bolt",
    "message async handler error": "websockets",
    "Uncaught exception": "logging",
    "Unhandled Python exception in job 7": "logging",
    "Unhandled error in Deferred": "logging",
}
REPORTS = (
    "UNHANDLED EXCEPTION!",
    "uncaught exception:",
    "An unhandled exception occurred while processing message 7",
    "An uncaught exception has occurred",
    "Fatal: uncaught exception in main loop",
    "FATAL unhandled exception",
    "Unhandled exception in thread pool-1",
    "worker-3: unhandled exception",
    "[consumer] Unhandled error",
    "Got unhandled exception",
    "Exiting due to an uncaught exception",
    "Terminating because of unhandled exception",
    "Shutting down on unhandled error",
    "Process crashed with uncaught exception",
    "Unhandled ValueError exception in job 7",
    "Unhandled exception was raised",
    "Unhandled exception (full traceback below)",
    "Unhandled exception 'price'",
    "unhandled exception when calling hook",
    "Unhandled exception processing request /pay",
    "Unhandled exception, restarting the worker",
    "Caught unhandled exception",
)
HANDLED = (
    "the unhandled exception handler is installed",
    "Unhandled exception handler failed to send a report",
    "could not upload the report of an unhandled exception",
    "recovered from an unhandled exception, going on",
    "Unhandled exception in consumer, retrying in 3 s",
    "Unhandled error: ignored",
    "retrying after an unhandled error of the venue",
    "no unhandled exception in the last hour",
    "unhandled exceptions so far: 0",
    "Uncaught error rate above 1 %",
    "customer reported an unhandled exception in the app",
    "sent 3 unhandled errors to the tracker",
    "venue answered: unhandled error",
    "rejecting order: unhandled error code 17",
    "Unhandled exception hook replaced",
    "unhandled exception policy is 'log'",
    "test for unhandled exception passed, cleanup failed",
    "the docs say: see Internal Server Error handling",
    "gave up, as Task failed with exception twice",
    "we saw 'Error on request:' in the log of the proxy",
    "the last job had an Exception in callback and was skipped",
    "order 7 refused while connection handler failed over",
    "could not charge card",
    "exception on retry 3",
    "Task charge[77] retry: Retry in 3s: KeyError(3)",
    "Task charge[77] succeeded in 0.1s: None",
    "Exception on the way to Rome",
    "unexpected error, trying again",
    "the error was handled",
    "request failed, error handling requested",
    "Job 7 failed",
)


@pytest.mark.parametrize(("message", "wanted"), REQUESTS.items(), ids=REQUESTS)
def test_requests(message: str, wanted: tuple[str, str, str, str]) -> None:
    """A web framework's sentence gives the integration, the request's method and path, and a transaction without identifiers."""
    found = unhandled(message, ())
    assert found is not None
    assert found.transaction is not None
    assert (found.mechanism, found.transaction.name, found.transaction.method, found.transaction.url) == wanted


@pytest.mark.parametrize(("message", "wanted"), TASKS.items(), ids=TASKS)
def test_tasks(message: str, wanted: tuple[str, str | None, str | None]) -> None:
    """A task queue's or a scheduler's sentence gives the task's name and, where it says so, its id as the SDK tags it."""
    found = unhandled(message, ())
    assert found is not None
    assert (found.mechanism, found.transaction and found.transaction.name, found.tags.get(f"{wanted[0]}_task_id")) == wanted


@pytest.mark.parametrize(("message", "mechanism"), OTHERS.items(), ids=OTHERS)
def test_others(message: str, mechanism: str) -> None:
    """Sentences of servers, event loops and threads mean an unhandled error, and so do such words without any framework."""
    found = unhandled(message + "\nmore", ())
    assert found is not None
    assert found.mechanism == mechanism


@pytest.mark.parametrize("message", REPORTS)
def test_words_of_a_program_that_reports_its_own_end(message: str) -> None:
    """The words at the beginning of a message say so, with where it happened or why the program ends."""
    assert unhandled(message, ()) is not None


@pytest.mark.parametrize("message", HANDLED)
def test_what_was_handled(message: str) -> None:
    """An error with another message was handled by the workload."""
    assert unhandled(message, ()) is None


def test_the_coroutine_of_a_task() -> None:
    """The transaction of a task that was never awaited is the coroutine's name."""
    message = (
        "Task exception was never retrieved\nfuture: <Task finished name='Task-2' coro=<Feed.poll() done, defined at /srv/a.py:3> ...>"
    )
    found = unhandled(message, ())
    assert found is not None
    assert found.transaction is not None
    assert (found.transaction.name, found.transaction.source) == ("Feed.poll", "task")
    text = f"2026-01-01 10:00:00,123 - asyncio - ERROR - {message}\n{TRACEBACK}"
    event = record_event(records_of(text.encode())[0], SUBJECT, Rules())
    assert event.transaction == found.transaction


def test_the_handler_of_a_request() -> None:
    """The handler is the own frame right behind the framework's last one, whatever lies before, and in it."""
    own = [Frame("/srv/shop/middleware.py", 1, "trace"), Frame("/srv/shop/views.py", 4, "basket"), Frame("/srv/shop/cart.py", 9, "total")]
    flask, werkzeug = Frame(f"{LIBRARY}/flask/app.py", 1, "dispatch_request"), Frame(f"{LIBRARY}/werkzeug/x.py", 1, "run")
    assert handler_of([flask, own[0], flask, own[1], own[2], werkzeug]) == "basket"
    assert handler_of([werkzeug, *own]) == ""
    found = unhandled("Exception on /basket/7 [GET]", [flask, own[1]])
    assert found is not None
    assert found.transaction is not None
    assert (found.transaction.name, found.transaction.source, found.transaction.url) == ("basket", "component", "/basket/7")


def test_a_function_of_lambda() -> None:
    """AWS Lambda logs what a handler raises with nothing but its title: its place says whose it is; elsewhere that is what a program logs."""
    found = unhandled("[ERROR] KeyError: 3", [Frame("/var/task/app.py", 3, "handler")])
    assert found is not None
    assert found.mechanism == "aws_lambda"
    assert unhandled("[ERROR] KeyError: 3", [Frame("/srv/app.py", 3, "handler")]) is None


def test_paths() -> None:
    """Numbers, hexadecimal ids and long tokens of a path are identifiers; words and versions are not."""
    assert sanitized("/v2/users/17/orders/3f2504e0-4f89-11d3-9a0c-0305e82c3301/e2e/x-2026") == "/v2/users/*/orders/*/e2e/*"
    assert sanitized("/") == "/"
    assert [path_of(one) for one in ("https://a.example/b/c", "/b/c", "https://a.example", "*")] == ["/b/c", "/b/c", "/", "*"]


def test_the_event_of_a_request() -> None:
    """The event says that the error is unhandled, of which transaction and request."""
    event = record_event(
        records_of(f"[2026-01-01 10:00:00,123] ERROR in app: Exception on /basket/7?a=b [GET]\n{TRACEBACK}".encode())[0], SUBJECT, Rules()
    )
    made = encode_event(event, EncodeOptions())
    assert made["exception"]["values"][0]["mechanism"] == {"type": "flask", "handled": False}
    assert (made["transaction"], made["transaction_info"]) == ("/basket/*", {"source": "sanitized"})
    assert made["request"] == {"method": "GET", "url": "/basket/7", "query_string": "a=b"}


@pytest.mark.parametrize(
    ("before", "mechanism"),
    [
        ("", "excepthook"),
        ("Exception in thread feed (run):\n", "threading"),
        ("Exception ignored in: <function Feed.__del__ at 0x7f00>\n", "unraisablehook"),
        ("Process Process-1:\n", "multiprocessing"),
    ],
)
def test_what_the_interpreter_prints(before: str, mechanism: str) -> None:
    """The interpreter's own reports are unhandled, each as the SDK's integration calls it."""
    (record,) = records_of((before + TRACEBACK).encode())
    event = record_event(record, SUBJECT, Rules())
    assert (event.mechanism.type, event.mechanism.handled) == (mechanism, False)


def test_a_task_that_failed_does_not_end_the_program() -> None:
    """An unhandled error of a request or a task does not explain the exit code of the program."""
    text = f"2026-01-01 10:00:00,123 - shop - ERROR - Exception in ASGI application\n{TRACEBACK}"
    (record,) = records_of(text.encode())
    event = record_event(record, SUBJECT, Rules())
    assert (event.mechanism.handled, ends_the_interpreter(record, event)) == (False, False)
