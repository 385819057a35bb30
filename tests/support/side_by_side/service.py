"""An asyncio service: an error that it handles and logs, a task that is not awaited, and the exception that ends it."""

import asyncio
import gc
import logging

logging.basicConfig(format="%(asctime)s %(levelname)s %(name)s: %(message)s", level=logging.INFO)
log = logging.getLogger("feed")


async def poll(venue):
    """Fail."""
    raise ConnectionError(f"no answer from {venue}")


async def forgotten():
    """Fail in a task that is not awaited."""
    raise LookupError("no book")


def settle(book):
    """Fail."""
    return book["price"]


async def main():
    """Serve for a moment."""
    log.info("serving")
    for number in range(3):
        log.error("payment %s of user %s declined", 100 + number, f"u{number}")
    try:
        await poll("paris")
    except ConnectionError:
        log.exception("can't poll")
    task = asyncio.create_task(forgotten())
    await asyncio.sleep(0.1)
    del task
    gc.collect()
    await asyncio.sleep(0.3)
    settle({})


asyncio.run(main())
