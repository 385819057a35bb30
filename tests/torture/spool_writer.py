"""A program to be killed: stores numbered rows with their position, delivers them, and can be started again until all is done.

Usage: spool_writer.py STATE COUNT QUOTA. Nothing is delivered while STATE/../hold exists. Delivered rows go to STATE/../delivered, one "number seq crc" per line, before they are settled.
It prints "done" when every row was delivered and the account balances.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import sys
import zlib
from pathlib import Path

from agent.errors import SpoolError, SpoolFullError
from agent.record import Payload, Signal
from agent.spool.spool import Spool


def body(number: int) -> bytes:
    """Make the content of a row from its number alone."""
    return b"%d " % number + random.Random(number).randbytes(200 * (number % 50))


async def store(spool: Spool, count: int) -> None:
    """Store what is still to be stored, each row with the position behind it."""
    while (number := int((await spool.positions("numbers")).get("next", b"0"))) < count:
        try:
            await put(spool, number)
        except SpoolFullError:
            await spool.wait_for_room()
        except SpoolError as error:
            print("again:", error, file=sys.stderr, flush=True)


async def put(spool: Spool, number: int) -> None:
    """Store one row, sometimes durably."""
    payload = Payload(Signal.LOGS, number % 7 + 1, body(number))
    position = {"next": b"%d" % (number + 1)}
    await spool.append("numbers", [payload], position, {}, replayable=True, durable=number % 10 == 0)


async def deliver(spool: Spool, log: Path, count: int) -> None:
    """Deliver all rows, once no destination fails."""
    with log.open("a") as out:
        while True:
            stored = int((await spool.positions("numbers")).get("next", b"0")) == count
            row = None if log.with_name("hold").exists() else await spool.next_row("sink", Signal.LOGS)
            if row is None and stored:
                return
            if row is None:
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(spool.wait_for_rows("sink", Signal.LOGS), 0.05)
                continue
            number = int(zlib.decompress(row.body, 31).split(b" ", 1)[0])
            out.write(f"{number} {row.seq} {zlib.crc32(row.body)}\n")
            out.flush()
            await settle(spool, row)


async def settle(spool, row) -> None:
    """Settle a row, however often it takes."""
    while True:
        try:
            return await spool.settle("sink", row, sent=row.records)
        except SpoolError as error:
            print("settle again:", error, file=sys.stderr, flush=True)
            await asyncio.sleep(0.05)


async def main(state: Path, count: int, quota: int) -> None:
    """Store and deliver at the same time, and look at the account in the end."""
    spool = await Spool.open(state, quota_bytes=quota, on_event=lambda event: print(event, file=sys.stderr, flush=True))
    await spool.register("sink", [Signal.LOGS])
    await asyncio.gather(store(spool, count), deliver(spool, state.parent / "delivered", count))
    if violations := (await spool.ledger()).violations():
        raise SystemExit(f"the account does not balance: {violations}")
    await spool.close()
    print("done")


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])))
