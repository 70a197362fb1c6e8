"""A server's PINGs, on a virtual clock."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from grpclib.config import Configuration
from hyperframe.frame import PingFrame

from tests.services.channel.raw_client import GzipServer, Methods, answer, dial, request
from ziggurat.services.channel.server_pings import PingRules

pytestmark = pytest.mark.asyncio_only

OFTEN = {"_http2_max_pings_without_data": 0, "_http2_min_sent_ping_interval_without_data": 1}


async def hold(call: Any) -> None:
    async for message in call:
        await call.send_message(message)


def serving(codec: Any, **settings: Any) -> GzipServer:
    return GzipServer([Methods(hold=hold)], codec=codec, config=Configuration(**settings))


def pings(wire: Any) -> int:
    return sum(isinstance(frame, PingFrame) for frame in wire.seen)


async def read_on(wire: Any, *, acks: bool = True) -> None:
    """Read, and answer PINGs, until the server closes the connection."""
    try:
        while True:
            frame = await wire.next_frame()
            if acks and isinstance(frame, PingFrame):
                wire.writer.write(wire.ping_ack(frame.opaque_data))
    except asyncio.IncompleteReadError:
        pass


async def seen_within(wire: Any, seconds: float, **kwargs: Any) -> int:
    reading = asyncio.create_task(read_on(wire, **kwargs))
    await asyncio.sleep(seconds)
    reading.cancel()
    return pings(wire)


def test_the_rules_are_those_of_grpclibs_settings_and_so_are_the_defaults() -> None:
    config = Configuration(_keepalive_time=1, _keepalive_timeout=2, _keepalive_permit_without_calls=True)
    assert PingRules.of(config.__for_server__()) == PingRules(interval=1, timeout=2, while_idle=True)
    assert PingRules.of(Configuration().__for_server__()) == PingRules()


async def test_without_a_call_there_are_no_pings_unless_they_are_allowed(wire: Any, raw_codec: Any) -> None:
    await dial(wire, serving(raw_codec, _keepalive_time=10, **OFTEN))
    assert await seen_within(wire, 100) == 0


async def test_an_idle_connection_is_pinged_when_that_is_allowed(wire: Any, raw_codec: Any) -> None:
    await dial(wire, serving(raw_codec, _keepalive_time=10, _keepalive_permit_without_calls=True, **OFTEN))
    assert await seen_within(wire, 55) == 5


async def test_a_call_is_pinged(wire: Any, raw_codec: Any) -> None:
    await dial(wire, serving(raw_codec, _keepalive_time=10, **OFTEN))
    await wire.send(request(wire, path="/raw/hold"))
    assert await seen_within(wire, 55) == 5


async def test_pings_in_a_row_are_limited_until_something_is_sent(wire: Any, raw_codec: Any) -> None:
    settings = {**OFTEN, "_http2_max_pings_without_data": 2}
    await dial(wire, serving(raw_codec, _keepalive_time=10, **settings))
    await wire.send(request(wire, path="/raw/hold"))
    assert await seen_within(wire, 100) == 2
    await wire.send(wire.message(1, b"x"))
    assert await seen_within(wire, 100) == 4


async def test_pings_keep_their_distance(wire: Any, raw_codec: Any) -> None:
    settings = {**OFTEN, "_http2_min_sent_ping_interval_without_data": 25}
    await dial(wire, serving(raw_codec, _keepalive_time=10, **settings))
    await wire.send(request(wire, path="/raw/hold"))
    assert await seen_within(wire, 101) == 4  # at 10, 40, 70 and 100


async def test_a_client_that_does_not_answer_is_given_up(wire: Any, raw_codec: Any) -> None:
    protocol = await dial(wire, serving(raw_codec, _keepalive_time=10, _keepalive_timeout=5, **OFTEN))
    await wire.send(request(wire, path="/raw/hold"))
    loop = asyncio.get_running_loop()
    started = loop.time()
    await read_on(wire, acks=False)
    await protocol.lost.wait()
    assert loop.time() - started == pytest.approx(15)
    assert protocol.failure == "no answer to a keepalive PING within 5 s"


async def test_a_lost_connection_has_no_timers(wire: Any, raw_codec: Any) -> None:
    protocol = await dial(wire, serving(raw_codec, _keepalive_time=10, **OFTEN))
    pings = protocol._pings
    assert pings is not None
    protocol.abort()
    await protocol.lost.wait()
    assert protocol._pings is None
    assert pings._timer.cancelled()


async def test_pings_can_be_switched_off(wire: Any, raw_codec: Any) -> None:
    protocol = await dial(wire, serving(raw_codec, _keepalive_time=None))
    assert protocol._pings is None
    await wire.send(request(wire, path="/raw/hold", end=True))
    assert (await answer(wire))[0]["grpc-status"] == "0"
