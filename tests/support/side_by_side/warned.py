"""Runs with `-X dev`: an exception in a finalizer, a resource warning, and the exception that ends the program."""

import time
import warnings


class Handle:
    """Fails when it is let go of."""

    def __del__(self):
        raise RuntimeError("can't close")


def read():
    """Leave a file open."""
    return open(__file__).readline()


def parse(text):
    """Fail."""
    return int(text)


handle = Handle()
del handle
time.sleep(0.2)
read()
warnings.warn("old way", DeprecationWarning, stacklevel=1)
time.sleep(0.2)
parse("twelve")
