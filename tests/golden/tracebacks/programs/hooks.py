"""Programs whose exception is told by somebody else: a thread, the loop, the garbage collector, logging."""
import sys
import threading

from driver import told

HOOKS = {}


def hook(function):
    HOOKS[function.__name__] = function
    return function


def work():
    raise ValueError("in a thread")


@hook
def thread_dies():
    original = threading.excepthook

    def excepthook(args):
        told(args.exc_value)
        original(args)

    threading.excepthook = excepthook
    thread = threading.Thread(target=work)
    thread.start()
    thread.join()


@hook
def thread_dies_named():
    original = threading.excepthook

    def excepthook(args):
        told(args.exc_value)
        original(args)

    threading.excepthook = excepthook
    thread = threading.Thread(target=work, name="feed: BTC")
    thread.start()
    thread.join()


class Finaliser:
    def __del__(self):
        raise ValueError("in __del__")


@hook
def unraisable():
    original = sys.unraisablehook

    def unraisablehook(args):
        told(args.exc_value)
        original(args)

    sys.unraisablehook = unraisablehook
    Finaliser()


@hook
def task_never_retrieved():
    import asyncio
    import gc

    async def fail():
        raise ValueError("nobody awaits me")

    async def main():
        loop = asyncio.get_running_loop()

        def handler(loop, context):
            told(context["exception"])
            loop.default_exception_handler(context)

        loop.set_exception_handler(handler)
        task = loop.create_task(fail())
        await asyncio.sleep(0)
        del task
        gc.collect()
        await asyncio.sleep(0)

    asyncio.run(main())


@hook
def loop_callback():
    import asyncio

    def fail():
        raise ValueError("in a callback")

    async def main():
        loop = asyncio.get_running_loop()

        def handler(loop, context):
            told(context["exception"])
            loop.default_exception_handler(context)

        loop.set_exception_handler(handler)
        loop.call_soon(fail)
        await asyncio.sleep(0)
        await asyncio.sleep(0)

    asyncio.run(main())


@hook
def logging_error():
    import logging

    class Handler(logging.StreamHandler):
        def handleError(self, record):
            told(sys.exc_info()[1])
            super().handleError(record)

    logging.getLogger().addHandler(Handler())
    logging.warning("only %d number", "no")


@hook
def logged_exception():
    import logging

    logging.basicConfig(format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    try:
        {}["missing"]
    except KeyError as exc:
        told(exc)
        logging.exception("cannot load")


@hook
def logged_format_exc():
    import logging
    import traceback

    logging.basicConfig()
    try:
        {}["missing"]
    except KeyError as exc:
        told(exc)
        logging.error(traceback.format_exc())
