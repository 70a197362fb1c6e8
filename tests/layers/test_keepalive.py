from __future__ import annotations

import math
import socket
from types import SimpleNamespace

import anyio
import pytest
from anyio.abc import ByteStream, SocketAttribute

from ziggurat.layers.keepalive import KeepAliveLayer, keepalive_options
from ziggurat.layers.testing import SplitStream, check_layer, fault_layer, mock_connector, stream_pair
from ziggurat.layers.testing.loopback import serve_loopback
from ziggurat.services.errors import ConnectError
from ziggurat.services.ledger import Ledger
from ziggurat.services.stream import DialAttribute
from ziggurat.services.tcp import TcpConnector
from ziggurat.services.uri import Uri

TARGET = Uri.parse("http://target.test:80")
LINUX = pytest.mark.skipif(not hasattr(socket, "TCP_USER_TIMEOUT"), reason="Linux's options")


async def hold(stream: ByteStream) -> None:
    await anyio.sleep_forever()


def options_of(stream: ByteStream) -> dict[str, int]:
    raw = stream.extra(SocketAttribute.raw_socket)
    names = ("TCP_KEEPIDLE", "TCP_KEEPINTVL", "TCP_KEEPCNT", "TCP_USER_TIMEOUT")
    found = {name: raw.getsockopt(socket.IPPROTO_TCP, getattr(socket, name)) for name in names}
    return found | {"SO_KEEPALIVE": raw.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)}


async def test_it_keeps_the_contracts_of_a_layer() -> None:
    await check_layer(KeepAliveLayer(10.0), transparent=True)


@LINUX
@pytest.mark.real_io
async def test_the_system_supports_every_option() -> None:
    async with serve_loopback(hold) as port:
        layer = KeepAliveLayer(10.0, 3.0, count=4, user_timeout=20.5, require=True)
        stream = await layer.layer(TcpConnector())(Uri("tcp", "127.0.0.1", port))
        found = options_of(stream)
        await stream.aclose()

    assert found == {
        "TCP_KEEPIDLE": 10,
        "TCP_KEEPINTVL": 3,
        "TCP_KEEPCNT": 4,
        "TCP_USER_TIMEOUT": 20500,
        "SO_KEEPALIVE": 1,
    }


@LINUX
@pytest.mark.real_io
async def test_unset_options_are_left_to_the_system_and_fractions_are_rounded_up() -> None:
    async with serve_loopback(hold) as port:
        uri = Uri("tcp", "127.0.0.1", port)
        plain = await TcpConnector()(uri)
        before = options_of(plain)
        # Below a foreign wrapper, which forwards typed attributes.
        leaf = fault_layer(lambda stream: SplitStream(stream, 1)).layer(TcpConnector())
        stream = await KeepAliveLayer(0.5, require=True).layer(leaf)(uri)
        found = options_of(stream)
        await plain.aclose()
        await stream.aclose()

    assert before["SO_KEEPALIVE"] == 0
    assert found == before | {"SO_KEEPALIVE": 1, "TCP_KEEPIDLE": 1}


async def test_without_a_socket_the_ledger_has_a_note() -> None:
    near, _ = stream_pair()

    async def leaf(uri: Uri, /) -> ByteStream:
        return near

    stream = await KeepAliveLayer(10.0).layer(leaf)(TARGET)

    ledger: Ledger = stream.extra(DialAttribute.ledger)
    assert [(entry.name, entry.note) for entry in ledger.phases] == [("keepalive", "no socket below MemoryStream")]
    await stream.aclose()


async def test_without_a_socket_require_fails_the_dial_and_closes_the_stream() -> None:
    connector, handle = mock_connector()
    caught: list[ConnectError] = []

    async def dial() -> None:
        with pytest.raises(ConnectError) as error:
            await KeepAliveLayer(10.0, require=True).layer(connector)(TARGET)
        caught.append(error.value)

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(dial)
        (await handle.next()).accept()

    assert caught[0].phase == "keepalive"
    assert not caught[0].transient
    assert handle.open_streams == 0


def test_macos_calls_the_idle_time_differently_and_has_no_user_timeout() -> None:
    macos = SimpleNamespace(TCP_KEEPALIVE=0x10, TCP_KEEPINTVL=0x101, TCP_KEEPCNT=0x102)
    options = keepalive_options(KeepAliveLayer(10.0, 2.0, 3, 5.0), macos)
    assert [(option.name, option.number, option.value) for option in options] == [
        ("TCP_KEEPIDLE", 0x10, 10),
        ("TCP_KEEPINTVL", 0x101, 2),
        ("TCP_KEEPCNT", 0x102, 3),
        ("TCP_USER_TIMEOUT", None, 5000),
        ("SO_KEEPALIVE", socket.SO_KEEPALIVE, 1),
    ]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"idle": 0}, "idle must be a positive number of seconds"),
        ({"idle": 40000}, r"idle must be a positive number of seconds \(at most 32767\), not 40000"),
        ({"idle": 1, "interval": math.inf}, r"interval must be .* \(at most 32767\) or None, not inf"),
        ({"idle": 1, "count": 0}, r"count must be a whole number \(1 to 127\) or None, not 0"),
        ({"idle": 1, "count": 128}, r"count must be a whole number \(1 to 127\) or None, not 128"),
        ({"idle": 1, "user_timeout": 3e6}, r"user_timeout must be .* \(at most 2147483\) or None"),
    ],
)
def test_wrong_settings_are_refused(arguments: dict[str, float], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        KeepAliveLayer(**arguments)  # type: ignore[arg-type]


def test_repr_shows_the_settings() -> None:
    assert repr(KeepAliveLayer(10.0)) == (
        "KeepAliveLayer(idle=10.0, interval=None, count=None, user_timeout=None, require=False)"
    )
