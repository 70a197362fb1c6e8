from __future__ import annotations

import socket

import pytest
from anyio.abc import SocketAttribute
from structlog.testing import capture_logs

from ziggurat.layers.socket_options import SocketOption, set_options
from ziggurat.layers.testing import MemoryStream, SplitStream, stream_pair
from ziggurat.services.dial import dial
from ziggurat.services.errors import ConnectError
from ziggurat.services.ledger import Ledger
from ziggurat.services.stream import WrappedStream
from ziggurat.services.uri import Uri

TARGET = Uri.parse("http://target.test:80")
NO_DELAY = SocketOption("TCP_NODELAY", socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)


def over(raw: socket.socket) -> MemoryStream:
    stream, _ = stream_pair()
    stream.attributes[SocketAttribute.raw_socket] = lambda: raw
    return stream


def nodelay(raw: socket.socket) -> bool:
    return bool(raw.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY))


@pytest.mark.parametrize("family", [socket.AF_INET, socket.AF_INET6])
async def test_the_socket_is_found_through_wrappers(family: int) -> None:
    with socket.socket(family) as raw, dial(TARGET) as current:
        wrapped = WrappedStream(SplitStream(WrappedStream(SplitStream(over(raw), 1)), 1))

        set_options(wrapped, [NO_DELAY], name="no_delay", ledger=current.ledger, require=True)

        assert nodelay(raw)
        assert not current.ledger.phases


def skipped(stream: MemoryStream, options: list[SocketOption]) -> tuple[Ledger, list[dict[str, object]]]:
    with dial(TARGET) as current, capture_logs() as logs:
        set_options(stream, options, name="no_delay", ledger=current.ledger, require=False)
    return current.ledger, [dict(entry) for entry in logs]


async def test_a_stream_without_a_socket_is_noted_and_logged_without_its_target() -> None:
    ledger, logs = skipped(stream_pair()[0], [NO_DELAY])

    text = "no socket below MemoryStream"
    assert [(entry.name, entry.outcome, entry.note) for entry in ledger.phases] == [("no_delay", "ok", text)]
    assert logs == [{"event": "no_delay.skipped", "log_level": "debug", "dial": ledger.id, "reason": text}]


async def test_a_unix_socket_is_not_a_tcp_socket() -> None:
    with socket.socket(socket.AF_UNIX) as raw:
        ledger, logs = skipped(over(raw), [NO_DELAY])
    assert ledger.phases[0].note == "not a TCP socket (AF_UNIX)"
    assert logs[0]["log_level"] == "debug"


async def test_the_other_options_are_set_if_the_system_does_not_support_one() -> None:
    unknown = SocketOption("TCP_USER_TIMEOUT", socket.IPPROTO_TCP, None, 1)
    with socket.socket() as raw:
        ledger, logs = skipped(over(raw), [unknown, NO_DELAY])
        assert nodelay(raw)
    assert logs[0]["log_level"] == "warning"
    assert ledger.phases[0].note == "TCP_USER_TIMEOUT is not supported on this system"


async def test_a_closed_socket_is_reported_with_the_systems_text() -> None:
    raw = socket.socket()
    raw.close()
    ledger, _ = skipped(over(raw), [NO_DELAY])
    assert ledger.phases[0].note == "TCP_NODELAY: bad file descriptor"


@pytest.mark.parametrize("lost", [False, True])
async def test_a_required_option_fails_in_its_own_phase(lost: bool) -> None:
    stream, _ = stream_pair()
    if lost:
        raw = socket.socket()
        raw.close()
        stream = over(raw)
    with pytest.raises(ConnectError) as caught, capture_logs() as logs, dial(TARGET) as current:
        set_options(stream, [NO_DELAY], name="no_delay", ledger=current.ledger, require=True)

    assert caught.value.phase == "no_delay"
    # A lost connection may work the next time; a stream without a socket will not get one.
    assert caught.value.transient is lost
    assert not logs
