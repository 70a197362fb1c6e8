from __future__ import annotations

import ipaddress
from dataclasses import replace
from itertools import count

import pytest

from ziggurat.layers.leakcheck.judge import Finding, Judge
from ziggurat.layers.leakcheck.packets import Packet

SYN = Packet("tcp", ipaddress.ip_address("127.0.0.1"), ipaddress.ip_address("127.0.0.1"), 40000, 7777, "syn")


@pytest.fixture
def judge() -> Judge:
    seconds = count()
    return Judge(["127.0.0.1:9050"], [16111], lambda: float(next(seconds)), lambda packet: "curl (7)")


def answer(packet: Packet, step: str) -> Packet:
    return replace(packet, source_port=packet.port, port=packet.source_port, step=step)


def test_a_refused_connection_to_this_machine_is_a_leak(judge: Judge) -> None:
    judge.on_loopback(SYN)
    assert judge.findings() == ()
    judge.on_loopback(answer(SYN, "rst"))

    assert judge.findings() == (Finding(0.0, "curl (7)", "tcp", "127.0.0.1:7777"),)


def test_a_connection_within_the_program_is_none(judge: Judge) -> None:
    judge.on_loopback(SYN)
    judge.on_loopback(answer(SYN, "syn-ack"))
    judge.on_loopback(answer(SYN, "rst"))

    assert judge.findings() == ()


def test_the_proxy_and_exposed_ports_are_none(judge: Judge) -> None:
    for port in (9050, 16111):
        judge.on_loopback(replace(SYN, port=port))
        judge.on_loopback(answer(replace(SYN, port=port), "rst"))

    assert judge.findings() == ()
    assert judge.tried == {"127.0.0.1:9050": 1}


def test_an_unreachable_port_tells_of_a_datagram(judge: Judge) -> None:
    inner = replace(SYN, protocol="udp", port=53, step="other", question="leak.example")
    judge.on_loopback(replace(SYN, protocol="icmp", step="unreachable", inner=inner))

    assert judge.findings() == (Finding(0.0, "curl (7)", "look-up", "127.0.0.1:53", "leak.example"),)


def test_whatever_reaches_the_sink_is_a_leak_and_equal_ones_are_counted(judge: Judge) -> None:
    packet = replace(SYN, destination=ipaddress.ip_address("2001:db8::1"))
    judge.from_sink(packet)
    judge.from_sink(replace(packet, by_kernel=True))
    judge.from_sink(packet)
    judge.from_sink(Packet("icmp", SYN.source, packet.destination))

    assert judge.findings() == (
        Finding(0.0, "curl (7)", "tcp", "[2001:db8::1]:7777", count=2),
        Finding(2.0, "curl (7)", "icmp", "2001:db8::1"),
    )


def test_a_question_to_a_resolver_of_this_machine(judge: Judge) -> None:
    judge.look_up("getent (9)", "/run/nscd/socket", "leak.example")

    assert judge.findings() == (Finding(0.0, "getent (9)", "look-up", "/run/nscd/socket", "leak.example"),)
