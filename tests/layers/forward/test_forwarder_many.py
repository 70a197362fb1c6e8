"""Hundreds of connections through the forwarder. Without asyncio's debug mode, which takes ten times as long."""

from __future__ import annotations

from typing import Any

import anyio
import pytest

from tests.layers.forward.ends import End, connect, field, until

pytestmark = pytest.mark.real_io


@pytest.fixture
def anyio_backend(request: pytest.FixtureRequest) -> tuple[str, dict[str, Any]]:
    name: str = request.param
    return name.removesuffix("-real"), {}


async def test_hundreds_of_interrupted_connections_leave_it_usable() -> None:
    """kubernetes #78446: after hundreds of them port-forward never worked again."""
    async with field() as there, anyio.create_task_group() as tasks:

        async def serve() -> None:
            while True:
                async with await there.far.next() as target:
                    try:
                        if await target.exactly(3) == b"new":
                            await target.send(b"seen")
                    except ConnectionResetError:
                        pass

        tasks.start_soon(serve)
        for number in range(200):
            client = await connect(there.address)
            client.raw.send(b"x")
            client.break_off() if number % 2 else client.close()
        async with await connect(there.address) as client:
            await client.send(b"new")
            assert await client.rest() == b"seen"
        await until(lambda: there.forwarder.counters.open == 0)
        tasks.cancel_scope.cancel()


async def test_two_hundred_connections_at_once() -> None:
    async with field() as there:

        async def serve() -> None:
            async def echo(end: End) -> None:
                async with end:
                    await end.send(await end.rest())
                    end.end()

            while True:
                tasks.start_soon(echo, await there.far.next())

        async def use(number: int) -> None:
            async with await connect(there.address) as client:
                message = b"%d" % number * 5000
                await client.send(message)
                client.end()
                assert await client.rest() == message

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(serve)
            async with anyio.create_task_group() as users:
                for number in range(200):
                    users.start_soon(use, number)
            tasks.cancel_scope.cancel()
        await until(lambda: there.forwarder.counters.open == 0)
    assert there.forwarder.counters.failed == 0
    assert len(there.ended) == 200
