"""Programs that die: faulthandler tells. `told_threads` writes what sys._current_frames says just before."""
import faulthandler
import json
import os
import signal
import sys
import threading

FATAL = {}


def fatal(function):
    FATAL[function.__name__] = function
    return function


def stack(frame):
    frames = []
    while frame is not None:
        frames.append([frame.f_code.co_filename, frame.f_lineno, frame.f_code.co_name])
        frame = frame.f_back
    return frames[::-1]


def told_threads(reason):
    current = threading.get_ident()
    threads = {ident: stack(frame) for ident, frame in sys._current_frames().items()}
    threads[current] = threads[current][:-1]
    expected = {"reason": reason, "current": "%016x" % current}
    expected["threads"] = {"%016x" % ident: frames for ident, frames in threads.items()}
    with open(sys.argv[2], "w") as file:
        json.dump(expected, file)


def die(number, reason):
    told_threads(reason); os.kill(os.getpid(), number)


@fatal
def segmentation_fault():
    faulthandler.enable()
    die(signal.SIGSEGV, "Segmentation fault")


@fatal
def aborted():
    faulthandler.enable()
    die(signal.SIGABRT, "Aborted")


@fatal
def segmentation_fault_with_threads():
    faulthandler.enable()
    started, never = threading.Event(), threading.Event()

    def wait():
        started.set()
        never.wait()

    threading.Thread(target=wait, daemon=True).start()
    started.wait()
    while not any(frames[-1][2] == "wait" and "threading" in frames[-1][0] for frames in map(stack, sys._current_frames().values())):
        pass
    die(signal.SIGSEGV, "Segmentation fault")


def deep(n):
    return deep(n - 1) if n else die(signal.SIGSEGV, "Segmentation fault")


@fatal
def deep_stack():
    faulthandler.enable()
    deep(150)


FATAL[sys.argv[1]]()
