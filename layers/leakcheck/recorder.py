"""Reads what passed through the namespace, and refuses what went into its sink."""

from __future__ import annotations

import select
import socket
import struct
import threading
from collections.abc import Callable

from ziggurat.layers.leakcheck.packets import Packet, parse_packet, refusal

__all__ = ["Recorder"]

_OUTGOING = 4  # PACKET_OUTGOING
_STATISTICS = 6  # PACKET_STATISTICS
_SOL_PACKET = 263

ETHERNET = 14
"""Bytes before the packet: to, from, type."""

MAX_PACKET = 65536


class Recorder:
    """A recorder of both interfaces; `finish` ends it.

    Args:
        sink: a packet socket at the other end of the sink, with Ethernet headers.
        loopback: a packet socket of the loopback interface, without.
        from_sink, on_loopback: get each packet; that of the sink before it is refused.
    """

    def __init__(
        self,
        sink: socket.socket,
        loopback: socket.socket,
        from_sink: Callable[[Packet], None],
        on_loopback: Callable[[Packet], None],
    ) -> None:
        self._sink = sink
        self._loopback = loopback
        self._from_sink = from_sink
        self._on_loopback = on_loopback
        self._wake, self._woken = socket.socketpair()
        # A thread for each, since whose a packet is can be seen for a moment only.
        self._threads = [
            threading.Thread(target=self._run, args=(each,), name="leakcheck-recorder", daemon=True)
            for each in (sink, loopback)
        ]
        for each in (sink, loopback):
            each.setblocking(False)
        for thread in self._threads:
            thread.start()

    def finish(self) -> int:
        """Read what is still there, end, and return how many packets were lost."""
        self._wake.close()
        for thread in self._threads:
            thread.join()
        lost = 0
        for each in (self._sink, self._loopback):
            lost += int(struct.unpack("II", each.getsockopt(_SOL_PACKET, _STATISTICS, 8))[1])
            each.close()
        self._woken.close()
        return lost

    def _run(self, recorded: socket.socket) -> None:
        while True:
            ready, _, _ = select.select([recorded, self._woken], [], [])
            if recorded not in ready:
                return
            self._read(recorded)

    def _read(self, recorded: socket.socket) -> None:
        try:
            data, address = recorded.recvfrom(MAX_PACKET)
        except OSError:  # e.g. the interface is gone, with the namespace
            return
        if address[2] == _OUTGOING:
            return
        if recorded is self._loopback:
            if (packet := parse_packet(data)) is not None:
                self._on_loopback(packet)
            return
        frame, content = data[:ETHERNET], data[ETHERNET:]
        if (packet := parse_packet(content)) is None:
            return
        self._from_sink(packet)
        if not packet.by_kernel and (answer := refusal(content)) is not None:
            try:
                recorded.send(frame + answer)  # an interface without ARP sends to its own hardware address
            except OSError:
                pass
