"""The record of a connection."""

from __future__ import annotations

import anyio
import pytest

from ziggurat.layers.forward.connection import ForwardedConnection
from ziggurat.services import ConnectError, Uri, dial, phase
from ziggurat.services.errors import ProxyRefused

TARGET = Uri("tcp", "a.test", 1)


async def test_the_clock_runs_until_the_end() -> None:
    record = ForwardedConnection("here")
    await anyio.sleep(2.0)
    assert (record.elapsed, round(record.age, 6)) == (None, 2.0)
    record.ended()
    await anyio.sleep(5.0)
    assert record.elapsed == pytest.approx(2.0)
    assert record.age == record.elapsed


async def test_a_failed_dial_tells_its_phase_its_proxies_and_its_hint() -> None:
    record = ForwardedConnection("here", TARGET)
    with pytest.raises(ConnectError) as caught, dial(TARGET):  # noqa: PT012
        for name in ("one:1080", "two:1080"):
            with phase("proxy.connect", via=name):
                pass
        with phase("proxy.connect", via="three:1080"):
            raise ProxyRefused("no", hint="ask")
    record.failed(caught.value)
    assert (record.phase, record.error) == ("proxy.connect", "no; ask")
    assert record.via == "one:1080 > two:1080 > three:1080"
    assert caught.value.ledger is not None
    assert record.id == caught.value.ledger.id


async def test_an_unreached_proxy_is_named_and_the_target_is_not_a_proxy() -> None:
    record = ForwardedConnection("here", TARGET)
    with pytest.raises(ConnectError) as caught, dial(TARGET), phase("tcp", via="proxy:1080"):
        raise ConnectError("refused")
    record.failed(caught.value)
    assert record.via == "proxy:1080"
    record = ForwardedConnection("here", TARGET)
    with pytest.raises(ConnectError) as caught, dial(TARGET), phase("tls", via="a.test"):
        raise ConnectError("refused")
    record.failed(caught.value)
    assert record.via is None


async def test_another_error_is_one_line_with_its_kind() -> None:
    record = ForwardedConnection("here")
    record.failed(RuntimeError("two\nlines"))
    assert record.error == "RuntimeError: two lines"
    record.failed(RuntimeError())
    assert record.error == "RuntimeError"
