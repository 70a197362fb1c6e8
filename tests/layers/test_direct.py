from __future__ import annotations

import logging

import pytest

from ziggurat.layers import DirectLayer, ServiceBuilder
from ziggurat.layers.testing import check_layer
from ziggurat.services import silently_direct
from ziggurat.services.errors import ConnectError
from ziggurat.services.tcp import TcpConnector
from ziggurat.services.uri import Uri


async def test_it_keeps_the_contracts_of_a_layer() -> None:
    await check_layer(DirectLayer(), transparent=True)


async def test_below_it_the_leaf_does_not_warn_of_the_environments_proxy(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def no_connection(*args: object) -> None:
        raise ConnectionRefusedError

    monkeypatch.setattr("ziggurat.services.tcp._open", no_connection)
    monkeypatch.setattr(silently_direct._Note, "said", False)
    monkeypatch.setenv("ALL_PROXY", "http://proxy.example")
    monkeypatch.delenv("NO_PROXY", raising=False)
    monkeypatch.delenv("no_proxy", raising=False)
    caplog.set_level(logging.WARNING, "ziggurat.services")
    target = Uri.parse("http://192.0.2.1")

    with pytest.raises(ConnectError):
        await ServiceBuilder().direct().service(TcpConnector())(target)
    assert not caplog.messages

    with pytest.raises(ConnectError):
        await TcpConnector()(target)
    assert len(caplog.messages) == 1
