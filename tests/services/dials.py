"""What tests of dials share."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from ziggurat.services import ConnectError, Ledger, Uri

TARGET = Uri("http", "target.example", 80)
PROXY = Uri("socks5", "proxy.example", 1080)


@contextmanager
def failing() -> Iterator[list[ConnectError]]:
    """Catch the error of a dial and hand it out in a list."""
    caught: list[ConnectError] = []
    try:
        yield caught
    except ConnectError as error:
        caught.append(error)
    assert caught, "nothing failed"


def shown(ledger: Ledger) -> list[tuple[str, float | None, str]]:
    return [(p.name, None if p.elapsed is None else round(p.elapsed, 6), p.outcome) for p in ledger.phases]
