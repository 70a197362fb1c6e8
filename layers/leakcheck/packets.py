"""IP packets, as far as a leak check reads them, and the answer that refuses one. Sans-IO."""

from __future__ import annotations

import ipaddress
import struct
from dataclasses import dataclass

from ziggurat.layers.leakcheck.netlink import IP

__all__ = ["Packet", "parse_packet", "parse_question", "refusal"]

TCP, UDP = 6, 17
_ICMP, _ICMP6 = 1, 58
_NAMES = {TCP: "tcp", UDP: "udp", _ICMP: "icmp", _ICMP6: "icmp", 132: "sctp", 33: "dccp"}

_SYN, _RST, _ACK = 0x02, 0x04, 0x10

_UNREACHABLE = {_ICMP: (3, 3), _ICMP6: (1, 4)}
"""Type and code of "port unreachable" (RFC 792, RFC 4443 3.1): a connect is refused at once, by TCP and by UDP."""

_OF_THE_KERNEL = {*range(130, 138), 143}
"""ICMPv6 that a kernel sends by itself: multicast listeners, routers and neighbours (RFC 2710, 3810, 4861)."""

_DNS_PORTS = {53, 5353, 5355}
"""DNS, multicast DNS and LLMNR, which have the same form of question."""


@dataclass(frozen=True, slots=True)
class Packet:
    """A packet.

    Attributes:
        protocol: ``tcp``, ``udp``, ``icmp``, or the protocol's number in text.
        source, destination: the addresses.
        source_port, port: the ports; 0 where the protocol has none.
        step: of TCP ``syn``, ``syn-ack`` or ``rst``; of ICMP ``unreachable``; ``other`` for others.
        question: the name that a DNS query asks for.
        inner: what an ``unreachable`` is about.
        by_kernel: whether it is one that a kernel sends by itself.
    """

    protocol: str
    source: IP
    destination: IP
    source_port: int = 0
    port: int = 0
    step: str = "other"
    question: str | None = None
    inner: Packet | None = None
    by_kernel: bool = False


def parse_packet(data: bytes) -> Packet | None:
    """Parse an IP packet; ``None`` if it is none, or is cut off within its headers."""
    try:
        if data[0] >> 4 == 4:
            header = (data[0] & 15) * 4
            source, destination = ipaddress.IPv4Address(data[12:16]), ipaddress.IPv4Address(data[16:20])
            return _parse(data[9], source, destination, data[header:])
        if data[0] >> 4 == 6:
            ends = ipaddress.IPv6Address(data[8:24]), ipaddress.IPv6Address(data[24:40])
            protocol, payload = data[6], data[40:]
            while protocol in (0, 43, 60):  # hop-by-hop, routing and destination options (RFC 8200 4)
                protocol, payload = payload[0], payload[8 + payload[1] * 8 :]
            return _parse(protocol, *ends, payload)
    except (IndexError, ValueError, struct.error):
        pass
    return None


def _parse(protocol: int, source: IP, destination: IP, payload: bytes) -> Packet:
    name = _NAMES.get(protocol, str(protocol))
    if protocol in (_ICMP, _ICMP6):
        kind = payload[0]
        if kind == _UNREACHABLE[protocol][0]:
            inner = parse_packet(payload[8:])
            return Packet(name, source, destination, step="unreachable", inner=inner)
        return Packet(name, source, destination, by_kernel=protocol == _ICMP6 and kind in _OF_THE_KERNEL)
    if protocol not in (TCP, UDP):
        return Packet(name, source, destination)
    source_port, port = struct.unpack_from("!HH", payload)
    if protocol == TCP:
        return Packet(name, source, destination, source_port, port, _step(payload[13]))
    question = parse_question(payload[8:]) if port in _DNS_PORTS else None
    return Packet(name, source, destination, source_port, port, question=question)


def _step(flags: int) -> str:
    if flags & _RST:
        return "rst"
    if flags & _SYN:
        return "syn-ack" if flags & _ACK else "syn"
    return "other"


def parse_question(data: bytes) -> str | None:
    """Return the name that a DNS query asks for (RFC 1035 4.1); ``None`` if it is none."""
    labels: list[str] = []
    try:
        if data[2] & 0x80 or not int.from_bytes(data[4:6]):  # a response, or no question
            return None
        at = 12
        while length := data[at]:
            label = data[at + 1 : at + 1 + length]
            if length > 63 or len(label) < length:
                return None
            labels.append(label.decode("ascii", "backslashreplace"))
            at += 1 + length
    except IndexError:
        return None
    return ".".join(labels) or "."


def refusal(data: bytes) -> bytes | None:
    """Return the answer that a packet's port is unreachable; ``None`` if nothing may be answered.

    Nothing is answered to a packet to many, or to ICMP (RFC 1122 3.2.2).
    """
    packet = parse_packet(data)
    if packet is None or packet.protocol == "icmp" or packet.destination.is_multicast:
        return None
    if packet.destination.version == 4:
        kind, code = _UNREACHABLE[_ICMP]
        body = _with_checksum(struct.pack("!BBHI", kind, code, 0, 0) + data[:548], b"", 2)
        header = struct.pack("!BBHHHBBH", 0x45, 0, 20 + len(body), 0, 0, 64, _ICMP, 0)
        return _with_checksum(header + packet.destination.packed + packet.source.packed, b"", 10) + body
    kind, code = _UNREACHABLE[_ICMP6]
    body = struct.pack("!BBHI", kind, code, 0, 0) + data[:1232]
    ends = packet.destination.packed + packet.source.packed
    body = _with_checksum(body, ends + struct.pack("!II", len(body), _ICMP6), 2)  # RFC 8200 8.1
    return struct.pack("!IHBB", 6 << 28, len(body), _ICMP6, 64) + ends + body


def _with_checksum(data: bytes, also: bytes, at: int) -> bytes:
    """Return the data with the internet's checksum (RFC 1071) over itself and ``also`` at a position."""
    summed = also + data + b"\0" * (len(data) % 2)
    total = sum(struct.unpack(f"!{len(summed) // 2}H", summed))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return data[:at] + struct.pack("!H", ~total & 0xFFFF) + data[at + 2 :]
