from __future__ import annotations

import asyncio
import threading
from typing import Any

import pytest

from ziggurat.services.channel.home_loop import HomeLoop


def test_the_first_loop_that_it_is_used_on_is_its_home() -> None:
    home = HomeLoop()
    assert home.loop is None
    assert home.may_be_used()

    async def use() -> Any:
        return home.check() is asyncio.get_running_loop() and home.may_be_used()

    assert asyncio.run(use())
    assert not home.may_be_used()  # that loop is closed
    with pytest.raises(RuntimeError, match="another event loop"):
        asyncio.run(use())
    with pytest.raises(RuntimeError, match="needs asyncio"):
        home.check()


def test_a_loop_that_runs_when_it_is_made_is_its_home() -> None:
    async def make() -> HomeLoop:
        return HomeLoop()

    home = asyncio.run(make())
    with pytest.raises(RuntimeError, match=r"asyncio.run, each thread"):
        asyncio.run(checked(home))


async def checked(home: HomeLoop) -> None:
    home.check()


def test_another_thread_has_another_loop() -> None:
    errors: list[BaseException] = []

    def in_thread(home: HomeLoop) -> None:
        for action in (home.check, home.may_be_used):
            try:
                asyncio.run(called(action))
            except RuntimeError as error:
                errors.append(error)

    async def main() -> None:
        thread = threading.Thread(target=in_thread, args=(HomeLoop(),))
        thread.start()
        await asyncio.to_thread(thread.join)

    asyncio.run(main())
    assert len(errors) == 2


async def called(action: Any) -> None:
    action()


async def test_trio_is_refused_at_once(anyio_backend_name: str) -> None:
    if anyio_backend_name == "trio":
        with pytest.raises(RuntimeError, match=r"needs asyncio.*grpclib"):
            HomeLoop()
    else:
        assert HomeLoop().loop is asyncio.get_running_loop()
