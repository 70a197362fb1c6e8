from __future__ import annotations

import anyio
import pytest
import sniffio

from ziggurat.services.clock import running_clock


async def test_it_shows_what_anyio_shows() -> None:
    clock = running_clock()
    before = anyio.current_time()

    assert before <= clock() <= anyio.current_time()


async def test_it_follows_virtual_time() -> None:
    clock = running_clock()
    start = clock()

    await anyio.sleep(1000)

    assert clock() - start == pytest.approx(1000)


def test_outside_of_a_loop_there_is_none() -> None:
    with pytest.raises(sniffio.AsyncLibraryNotFoundError):
        running_clock()
