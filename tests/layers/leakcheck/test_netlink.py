from __future__ import annotations

import struct

import pytest

from tests.layers.leakcheck.namespaces import need_namespaces, python
from ziggurat.layers.leakcheck import NamespaceError, leakcheck
from ziggurat.layers.leakcheck.netlink import attribute, request
from ziggurat.layers.leakcheck.outside import Inside


def test_an_attribute_is_padded_but_its_length_is_not() -> None:
    assert attribute(3, b"lo\0") == struct.pack("=HH", 7, 3) + b"lo\0\0"
    assert attribute(1, b"abcd") == struct.pack("=HH", 8, 1) + b"abcd"


def test_a_request_says_how_long_it_is_and_wants_an_answer() -> None:
    length, kind, flags, _, _ = struct.unpack_from("=IHHII", request(20, b"12345678", create=True))

    assert (length, kind) == (24, 20)
    assert flags == 0x1 | 0x4 | 0x600


def test_an_error_of_the_kernel_is_raised() -> None:
    need_namespaces()
    with Inside() as inside, pytest.raises(NamespaceError, match=r"cannot be laid out \(File exists\)$"):
        inside.prepare([], ["192.0.2.5", "192.0.2.5"], [])


def test_the_namespace_has_its_interfaces_and_routes() -> None:
    need_namespaces()
    program = """
    names = sorted(name for _, name in socket.if_nameindex())
    udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    udp.connect(("192.0.2.1", 9))
    sys.exit(names[-2:] != ["sink0", "sink1"] or udp.getsockname()[0] != "10.254.254.1")
    """
    report = leakcheck(python(program), proxies=[])

    assert report.code == 0
    assert report.findings == (), "to connect a datagram socket sends nothing"
