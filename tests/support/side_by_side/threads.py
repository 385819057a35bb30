"""Threads that fail one after the other; the program goes on and ends well."""

import threading
import time


def quote(symbol):
    """Fail."""
    return {}[symbol]


def feed():
    """Fail."""
    quote("price")


def clean():
    """Fail."""
    raise OSError("disk is gone")


for target in (feed, clean):
    thread = threading.Thread(target=target, name=target.__name__)
    thread.start()
    thread.join()
    time.sleep(0.2)
time.sleep(3)  # beside `run`: the main program is known as long as the process lives
print("done")
