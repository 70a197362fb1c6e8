from __future__ import annotations

import anyio
import pytest
import sniffio

from ziggurat.services.clock import running_clock


async def test_it_reads_the_same_as_anyios_clock() -> None:
    clock = running_clock()
    before = anyio.current_time()

    assert before <= clock() <= anyio.current_time()


async def test_it_follows_virtual_time() -> None:
    clock = running_clock()
    start = clock()

    await anyio.sleep(1000)

    assert clock() - start == pytest.approx(1000)


def test_there_is_no_clock_without_an_event_loop() -> None:
    with pytest.raises(sniffio.AsyncLibraryNotFoundError):
        running_clock()
