"""A worker of Celery on Redis, and tasks that fail; ends when they have."""

import os
import sys
import threading
import time

import celery

app = celery.Celery("jobs", broker=os.environ["BROKER"])
app.conf.worker_proc_alive_timeout = 10
app.conf.broker_connection_retry_on_startup = False


def price(symbol):
    """Fail."""
    return {}[symbol]


@app.task(name="jobs.charge")
def charge(order):
    """Fail."""
    return price("XYZ")


@app.task(name="jobs.refund")
def refund(order):
    """Fail."""
    raise ValueError("nothing to refund")


def send():
    """Send the tasks once the worker listens."""
    while not app.control.ping(timeout=0.3):
        time.sleep(0.1)
    for number, task in enumerate((charge, charge, refund)):
        task.delay(number)
        time.sleep(0.2)
    app.control.shutdown()


if __name__ == "__main__":
    threading.Thread(target=send, daemon=True).start()
    app.worker_main(["worker", "--pool=solo", "--loglevel=INFO", "--without-mingle", "--without-gossip"])
    sys.exit(0)
