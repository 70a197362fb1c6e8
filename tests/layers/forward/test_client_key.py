"""The key of the client for which a task dials."""

from __future__ import annotations

import anyio

from ziggurat.layers.forward import client_key
from ziggurat.layers.forward.client_key import current_client
from ziggurat.services import Uri

TARGET = Uri("tcp", "a.test", 1)


async def test_each_task_has_its_own_and_its_children_share_it() -> None:
    seen: dict[str, str] = {}

    async def child(name: str) -> None:
        seen[name] = client_key(TARGET)

    async def task(name: str) -> None:
        current_client.set(name)
        async with anyio.create_task_group() as children:
            children.start_soon(child, name)

    async with anyio.create_task_group() as tasks:
        for name in "ab":
            tasks.start_soon(task, name)
    assert seen == {"a": "a", "b": "b"}
    assert client_key(TARGET) == ""
