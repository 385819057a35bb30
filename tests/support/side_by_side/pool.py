"""A pool of processes, one of which fails."""

from concurrent.futures import ProcessPoolExecutor


def price(book, symbol):
    """Fail."""
    return book[symbol]


def work(symbol):
    """Fail for another reason."""
    try:
        return price({}, symbol)
    except KeyError as error:
        raise ValueError(f"no price for {symbol}") from error


if __name__ == "__main__":
    with ProcessPoolExecutor(1) as pool:
        pool.submit(work, "XYZ").result()
