from __future__ import annotations

import asyncio
import sys

import pytest
from anyio.abc import ByteStream

from tests.node.tor.control_port import ControlPort
from ziggurat.layers.testing import MemoryStream, stream_pair
from ziggurat.node.tor import ControlCredentials, TorError, controller_opener
from ziggurat.services import ConnectError, ConnectRefused, Uri

pytestmark = pytest.mark.asyncio_only

CONTROL = Uri("unix", path="/run/tor/control")


async def test_it_dials_authenticates_and_closes_what_it_opened() -> None:
    port, near = ControlPort(), list[MemoryStream]()
    serving: list[asyncio.Task[None]] = []

    async def reach(address: Uri) -> ByteStream:
        assert address == CONTROL
        ours, theirs = stream_pair()
        serving.append(asyncio.create_task(port.serve(theirs)))
        near.append(ours)
        return ours

    async with controller_opener(CONTROL, ControlCredentials(), reach)() as controller:
        assert controller.version == "0.4.9.11"
    await asyncio.wait(serving, timeout=5)

    assert serving[0].done()
    assert near[0].closed


async def test_what_the_dial_failed_with_is_told() -> None:
    async def reach(address: Uri) -> ByteStream:
        raise ConnectRefused("connection refused")

    with pytest.raises(TorError, match="connection refused") as caught:
        async with controller_opener(CONTROL, ControlCredentials(), reach)():
            pass
    assert isinstance(caught.value.__cause__, ConnectError)


def test_without_the_library_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    async def reach(address: Uri) -> ByteStream:
        raise NotImplementedError

    for name in [each for each in sys.modules if each.partition(".")[0] == "aiostem"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.delitem(sys.modules, "ziggurat.node.tor.aiostem_controller", raising=False)
    monkeypatch.setitem(sys.modules, "aiostem", None)

    with pytest.raises(ImportError, match=r"pip install 'ziggurat\[tor\]'"):
        controller_opener(CONTROL, ControlCredentials(), reach)
