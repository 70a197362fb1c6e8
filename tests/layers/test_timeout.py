from __future__ import annotations

import math

import anyio
import pytest
from anyio.abc import ByteStream

from ziggurat.layers.concurrency_limit import ConcurrencyLimitLayer
from ziggurat.layers.limiter import Limiter
from ziggurat.layers.testing import check_layer, mock_connector, stream_pair
from ziggurat.layers.timeout import TimeoutLayer
from ziggurat.services.dial import dial, phase
from ziggurat.services.errors import ConnectTimeout
from ziggurat.services.stream import DialAttribute
from ziggurat.services.uri import Uri

TARGET = Uri.parse("http://target.test:80")


async def test_it_keeps_the_contracts_of_a_layer() -> None:
    await check_layer(TimeoutLayer(1000.0), transparent=True)


async def test_a_dial_that_takes_too_long_is_cancelled_and_the_error_names_phase_and_limit() -> None:
    connector, handle = mock_connector("proxy.connect")
    started = anyio.current_time()

    with pytest.raises(ConnectTimeout) as caught:
        await TimeoutLayer(5.0, name="tunnel").layer(connector)(TARGET)

    error = caught.value
    assert anyio.current_time() - started == pytest.approx(5.0)
    assert (error.phase, error.name, error.limit) == ("proxy.connect", "tunnel", 5.0)
    assert error.ledger is not None
    assert [entry.outcome for entry in error.ledger.phases] == ["timeout"]
    assert "proxy.connect" in str(error)
    assert "'tunnel' of 5 s" in str(error)
    assert isinstance(error, TimeoutError)
    assert handle.requests[0].cancelled


async def test_without_a_name_the_error_names_the_layer() -> None:
    connector, _ = mock_connector()
    with pytest.raises(ConnectTimeout, match="'TimeoutLayer' of 1 s"):
        await TimeoutLayer(1.0).layer(connector)(TARGET)


async def test_waiting_for_admission_counts() -> None:
    connector, handle = mock_connector()
    limiter = Limiter(1)
    assert limiter.acquire_nowait()
    stack = TimeoutLayer(2.0).layer(ConcurrencyLimitLayer(limiter).layer(connector))

    with pytest.raises(ConnectTimeout) as caught:
        await stack(TARGET)

    assert caught.value.phase == "admission"
    assert caught.value.name == "TimeoutLayer"
    assert not handle.requests
    assert limiter.waiting == 0
    limiter.release()


async def test_a_result_that_has_arrived_beats_the_timer() -> None:
    near, _ = stream_pair()

    async def late(uri: Uri, /) -> ByteStream:
        with anyio.CancelScope(shield=True):
            await anyio.sleep(3.0)  # the time runs out, and the stream still arrives
        return near

    stream = await TimeoutLayer(1.0).layer(late)(TARGET)

    assert not near.closed
    await stream.aclose()


async def test_an_inner_timeout_keeps_its_name() -> None:
    connector, _ = mock_connector()
    stack = TimeoutLayer(9.0, name="outer").layer(TimeoutLayer(1.0, name="inner").layer(connector))
    with pytest.raises(ConnectTimeout) as caught:
        await stack(TARGET)
    assert caught.value.name == "inner"


async def test_the_outer_limit_is_named_if_it_is_shorter() -> None:
    connector, _ = mock_connector()
    stack = TimeoutLayer(1.0, name="outer").layer(TimeoutLayer(9.0, name="inner").layer(connector))
    with pytest.raises(ConnectTimeout) as caught:
        await stack(TARGET)
    assert (caught.value.name, caught.value.phase) == ("outer", "mock")


async def test_a_foreign_timeout_error_passes_unchanged() -> None:
    async def impatient(uri: Uri, /) -> ByteStream:
        with dial(uri), phase("mine"), anyio.fail_after(1.0):
            await anyio.sleep_forever()
        raise AssertionError

    with pytest.raises(TimeoutError) as caught:
        await TimeoutLayer(5.0).layer(impatient)(TARGET)
    assert not isinstance(caught.value, ConnectTimeout)


async def test_the_stream_carries_the_ledger() -> None:
    near, _ = stream_pair()

    async def leaf(uri: Uri, /) -> ByteStream:
        return near

    stream = await TimeoutLayer(1.0).layer(leaf)(TARGET)
    assert stream.extra(DialAttribute.ledger).target == TARGET
    await stream.aclose()


@pytest.mark.parametrize("seconds", [0, -1.0, math.nan, math.inf])
def test_a_limit_that_is_not_positive_and_finite_is_refused(seconds: float) -> None:
    with pytest.raises(ValueError, match="seconds must be a positive number of seconds, not "):
        TimeoutLayer(seconds)


def test_repr_shows_the_settings() -> None:
    assert repr(TimeoutLayer(5.0, name="reach proxy")) == "TimeoutLayer(seconds=5.0, name='reach proxy')"
