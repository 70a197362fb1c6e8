"""Open streams and their bytes, when Prometheus asks and at the end."""

from __future__ import annotations

import gc
import weakref
from threading import Thread

from prometheus_client import CollectorRegistry, Counter, Gauge

from ziggurat.layers.metrics.traffic import Traffic
from ziggurat.layers.testing import stream_pair
from ziggurat.services.stream import WrappedStream

LABELS = ("s", "t")


class World:
    """A registry with the traffic, as the instruments register it."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        names = ("stack", "target")
        streams = Gauge("open", "x", names, registry=None)
        sent, received = Counter("sent", "x", names, registry=None), Counter("received", "x", names, registry=None)
        self.traffic = Traffic(streams, sent, received)
        for collector in (self.traffic, streams, sent, received):
            self.registry.register(collector)

    def scrape(self) -> dict[str, float]:
        samples = (sample for metric in self.registry.collect() for sample in metric.samples)
        return {sample.name: sample.value for sample in samples if not sample.name.endswith("_created")}


class Heir:
    bytes_sent = 1000
    bytes_received = 2000


async def test_the_bytes_of_an_open_stream_are_those_until_now() -> None:
    world, (near, far) = World(), stream_pair()
    stream = WrappedStream(near)
    await stream.send(b"before")
    world.traffic.opened(LABELS, stream)
    assert world.scrape() == {"open": 1.0, "sent_total": 0.0, "received_total": 0.0}

    await stream.send(b"12345")
    assert world.scrape()["sent_total"] == 5.0
    assert world.scrape()["sent_total"] == 5.0
    await far.send(b"123")
    await stream.receive()
    await stream.send(b"12345")
    assert world.scrape() == {"open": 1.0, "sent_total": 10.0, "received_total": 3.0}
    await stream.aclose()


async def test_a_stream_that_has_ended_keeps_its_bytes_and_is_forgotten() -> None:
    world, (near, _) = World(), stream_pair()
    stream = WrappedStream(near)
    world.traffic.opened(LABELS, stream)
    await stream.send(b"12345")
    await stream.aclose()

    assert world.scrape() == {"open": 0.0, "sent_total": 5.0, "received_total": 0.0}
    gone = weakref.ref(stream)
    del stream
    gc.collect()
    assert gone() is None


async def test_bytes_after_a_hand_over_count_as_they_pass_and_once() -> None:
    world, stream = World(), WrappedStream(stream_pair()[0])
    world.traffic.opened(LABELS, stream)
    stream.heir = Heir()
    assert world.scrape()["sent_total"] == 1000.0
    stream.report_close()

    assert world.scrape() == {"open": 0.0, "sent_total": 1000.0, "received_total": 2000.0}


async def test_a_counter_never_falls() -> None:
    """Another thread may see the numbers of the heir go before they are added: a fall would read as a restart."""
    world, stream = World(), WrappedStream(stream_pair()[0])
    world.traffic.opened(LABELS, stream)
    stream.heir = Heir()
    world.scrape()
    stream.heir = None
    assert world.scrape()["sent_total"] == 1000.0
    stream.bytes_sent = 1100
    assert world.scrape()["sent_total"] == 1100.0


async def test_a_stream_that_has_ended_before_is_not_open() -> None:
    world, stream = World(), WrappedStream(stream_pair()[0])
    stream.report_close()
    world.traffic.opened(LABELS, stream)

    assert world.scrape()["open"] == 0.0


def test_streams_come_and_go_while_another_thread_collects() -> None:
    world, done = World(), False

    def collect() -> None:
        while not done:
            world.scrape()

    thread = Thread(target=collect)
    thread.start()
    try:
        for _ in range(300):
            stream = WrappedStream(stream_pair()[0])
            world.traffic.opened(LABELS, stream)
            stream.bytes_sent = 7
            stream.report_close()
    finally:
        done = True
        thread.join(30)

    assert world.scrape() == {"open": 0.0, "sent_total": 2100.0, "received_total": 0.0}
