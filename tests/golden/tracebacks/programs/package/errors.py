class FeedError(Exception):
    class Gap(Exception):
        pass


def fail():
    raise FeedError("no ticks")


def fail_nested():
    raise FeedError.Gap("three ticks missing")


def fail_local():
    class Hidden(Exception):
        pass

    raise Hidden("defined in a function")
