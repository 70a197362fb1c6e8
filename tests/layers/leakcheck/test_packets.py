from __future__ import annotations

import ipaddress
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ziggurat.layers.leakcheck.packets import parse_packet, parse_question, refusal

QUERY = bytes.fromhex("1234 0100 0001 0000 0000 0000".replace(" ", "")) + b"\x04leak\x07example\x00\x00\x01\x00\x01"


def ipv4(protocol: int, payload: bytes, source: str = "10.0.0.1", destination: str = "192.0.2.7") -> bytes:
    ends = ipaddress.IPv4Address(source).packed + ipaddress.IPv4Address(destination).packed
    return struct.pack("!BBHHHBBH", 0x45, 0, 20 + len(payload), 0, 0, 64, protocol, 0) + ends + payload


def ipv6(protocol: int, payload: bytes, source: str = "fd00::1", destination: str = "2001:db8::5") -> bytes:
    ends = ipaddress.IPv6Address(source).packed + ipaddress.IPv6Address(destination).packed
    return struct.pack("!IHBB", 6 << 28, len(payload), protocol, 64) + ends + payload


def tcp(flags: int) -> bytes:
    return struct.pack("!HHIIBBHHH", 40000, 443, 1, 0, 0x50, flags, 0, 0, 0)


def udp(payload: bytes, port: int = 53) -> bytes:
    return struct.pack("!HHHH", 40001, port, 8 + len(payload), 0) + payload


@pytest.mark.parametrize(("flags", "step"), [(0x02, "syn"), (0x12, "syn-ack"), (0x14, "rst"), (0x10, "other")])
@pytest.mark.parametrize("ip", [ipv4, ipv6])
def test_a_tcp_packet(ip: object, flags: int, step: str) -> None:
    packet = parse_packet(ip(6, tcp(flags)))  # type: ignore[operator]

    assert packet is not None
    assert (packet.protocol, packet.source_port, packet.port, packet.step) == ("tcp", 40000, 443, step)
    assert str(packet.destination) in ("192.0.2.7", "2001:db8::5")


def test_a_question_is_read() -> None:
    packet = parse_packet(ipv4(17, udp(QUERY)))

    assert packet is not None
    assert (packet.protocol, packet.port, packet.question) == ("udp", 53, "leak.example")
    assert parse_question(QUERY[:20]) is None, "cut off"
    assert parse_question(b"\0\0\x81" + QUERY[3:]) is None, "a response"
    other = parse_packet(ipv4(17, udp(QUERY, port=123)))
    assert other is not None
    assert other.question is None, "not a port of DNS"


def test_options_before_the_payload_are_skipped() -> None:
    packet = parse_packet(ipv6(0, bytes([6, 0, 0, 0, 0, 0, 0, 0]) + tcp(0x02)))

    assert packet is not None
    assert (packet.protocol, packet.port) == ("tcp", 443)


def test_what_a_kernel_sends_by_itself() -> None:
    solicitation, ping = parse_packet(ipv6(58, bytes([133, 0, 0, 0]))), parse_packet(ipv6(58, bytes([128, 0, 0, 0])))

    assert solicitation is not None
    assert ping is not None
    assert (solicitation.by_kernel, ping.by_kernel) == (True, False)


@pytest.mark.parametrize("ip", [ipv4, ipv6])
def test_a_refusal_names_what_it_refuses_and_has_a_right_checksum(ip: object) -> None:
    data = ip(17, udp(QUERY))  # type: ignore[operator]
    answer = refusal(data)
    assert answer is not None
    packet, original = parse_packet(answer), parse_packet(data)

    assert packet is not None
    assert original is not None
    assert packet.step == "unreachable"
    assert packet.inner == original
    assert (packet.source, packet.destination) == (original.destination, original.source)
    if answer[0] >> 4 == 4:
        assert checksum(answer[:20]) == checksum(answer[20:]) == 0
    else:
        assert checksum(answer[8:40] + struct.pack("!II", len(answer) - 40, 58) + answer[40:]) == 0


def test_nothing_is_answered_to_multicast_or_to_icmp() -> None:
    assert refusal(ipv4(17, udp(QUERY, port=5353), destination="224.0.0.251")) is None
    assert refusal(ipv4(1, bytes([8, 0, 0, 0, 0, 0, 0, 0]))) is None


@given(st.binary(max_size=100), st.sampled_from([0, 0x45, 0x60]))
def test_any_bytes_can_be_parsed(data: bytes, first: int) -> None:
    text = bytes([first]) + data
    parse_packet(text)
    refusal(text)
    parse_question(data)


def checksum(data: bytes) -> int:
    data += b"\0" * (len(data) % 2)
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF
