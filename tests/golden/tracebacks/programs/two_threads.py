"""Two threads that die together: their tracebacks interrupt one another, each time elsewhere (so the texts are kept from runs)."""
import threading


def deep(n, e):
    if n:
        return deep(n - 1, e)
    raise e


def one(b):
    b.wait()
    deep(2, ValueError("from one"))


def two(b):
    b.wait()
    {}["two"]


b = threading.Barrier(2)
threads = [threading.Thread(target=f, args=(b,)) for f in (one, two)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
