from __future__ import annotations

import queue
import socket

from tests.layers.leakcheck.namespaces import need_namespaces
from ziggurat.layers.leakcheck.outside import Inside
from ziggurat.layers.leakcheck.packets import Packet
from ziggurat.layers.leakcheck.recorder import Recorder


def test_what_leaves_is_recorded_before_it_is_refused() -> None:
    need_namespaces()
    to_sink: queue.Queue[Packet] = queue.Queue()
    on_loopback: queue.Queue[Packet] = queue.Queue()
    with Inside() as inside:
        sink, loopback, _ = inside.prepare([], [], [])
        inside.run(["sleep", "60"])  # sockets are made while it runs
        recorder = Recorder(sink, loopback, to_sink.put, on_loopback.put)
        codes = []
        for address in (("192.0.2.1", 443), ("127.0.0.1", 7777)):
            with inside.socket(socket.AF_INET) as leaking:
                codes.append(leaking.connect_ex(address))
        lost = recorder.finish()
    sent = [packet for packet in iter_queue(to_sink) if not packet.by_kernel]
    seen = iter_queue(on_loopback)

    assert codes == [111, 111]
    assert [(str(packet.destination), packet.port, packet.step) for packet in sent] == [("192.0.2.1", 443, "syn")]
    assert [packet.step for packet in seen if 7777 in (packet.port, packet.source_port)] == ["syn", "rst"]
    assert lost == 0


def iter_queue(packets: queue.Queue[Packet]) -> list[Packet]:
    return [packets.get_nowait() for _ in range(packets.qsize())]
