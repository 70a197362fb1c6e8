from __future__ import annotations

import asyncio

import pytest

from ziggurat.node.tor import Bootstrap, Circuits, DescriptorUpload, TorEvent
from ziggurat.node.tor.event_lines import EventReader, parse_event

pytestmark = pytest.mark.asyncio_only

BRIDGE = (
    'STATUS_CLIENT WARN BOOTSTRAP PROGRESS=1 TAG=conn_pt SUMMARY="Connecting" WARNING="Connection refused" '
    'REASON=CONNECTREFUSED COUNT=3 RECOMMENDATION=warn HOSTID="?" HOSTADDR="?"'
)


@pytest.mark.parametrize(
    ("text", "event"),
    [
        ('STATUS_CLIENT NOTICE BOOTSTRAP PROGRESS=5 TAG=conn SUMMARY="A \\"b\\""', Bootstrap(5, "conn", 'A "b"')),
        (BRIDGE, Bootstrap(1, "conn_pt", "Connecting", "Connection refused")),
        ("STATUS_CLIENT NOTICE BOOTSTRAP", None),
        ("STATUS_CLIENT NOTICE CIRCUIT_ESTABLISHED", Circuits(None)),
        ("STATUS_CLIENT NOTICE CIRCUIT_NOT_ESTABLISHED REASON=CLOCK_JUMPED", Circuits("CLOCK_JUMPED")),
        ("STATUS_CLIENT NOTICE CIRCUIT_NOT_ESTABLISHED REASON=IP_ADDR_CHANGED", Circuits("IP_ADDR_CHANGED")),
        ("STATUS_CLIENT NOTICE CIRCUIT_NOT_ESTABLISHED", Circuits("no reason given")),
        ("STATUS_CLIENT NOTICE ENOUGH_DIR_INFO", None),
        ("STATUS_CLIENT", None),
        (
            "HS_DESC UPLOAD abc UNKNOWN $FP~nick D+/= HSDIR_INDEX=1F",
            DescriptorUpload("UPLOAD", "abc", "$FP~nick", "D+/="),
        ),
        ("HS_DESC FAILED abc UNKNOWN $FP REASON=LATER", DescriptorUpload("FAILED", "abc", "$FP", None, "LATER")),
        ("HS_DESC UPLOADED abc.onion UNKNOWN redacted", DescriptorUpload("UPLOADED", "abc", "redacted")),
        ("HS_DESC FAILED abc", None),
        ("NETWORK_LIVENESS UP", None),
        ("", None),
    ],
)
def test_an_event_with_words_that_nobody_knows_yet_is_read(text: str, event: TorEvent | None) -> None:
    """What the library's own parser drops: a reason outside of its list, a bridge without an address, Whonix' words."""
    assert parse_event(text) == event


async def read(data: bytes) -> tuple[list[bytes], list[TorEvent]]:
    events = list[TorEvent]()
    reader = EventReader(events.append, asyncio.get_running_loop())
    reader.feed_data(data)
    reader.feed_eof()
    lines = [line async for line in reader]
    return lines, events


async def test_events_are_taken_out_between_the_lines_of_others() -> None:
    lines, events = await read(
        b"250-a=1\r\n650 STATUS_CLIENT NOTICE CIRCUIT_ESTABLISHED\r\n250 OK\r\n650 STREAM 1 NEW\r\n"
    )

    assert lines == [b"250-a=1\r\n", b"250 OK\r\n", b"650 STREAM 1 NEW\r\n"]
    assert events == [Circuits(None)]


async def test_the_data_of_a_reply_is_no_event() -> None:
    """A circuit may have the number 650."""
    data = b"250+circuit-status=\r\n650 STATUS_CLIENT NOTICE CIRCUIT_ESTABLISHED\r\n250+x\r\n.\r\n250 OK\r\n"
    lines, events = await read(data + b"650 STATUS_CLIENT NOTICE CIRCUIT_ESTABLISHED\r\n")

    assert b"".join(lines) == data
    assert len(events) == 1


@pytest.mark.parametrize("line", [b"250-x=" + b"y" * 5000, b"250-x=" + b"y" * 200_000, b"250+x=\r\n" + b"y" * 5000])
async def test_a_reply_without_an_end_is_not_collected_for_ever(line: bytes) -> None:
    """bitcoin/bitcoin#35087: a limit on lines alone leaves the number of them open."""
    with pytest.raises(ValueError, match=r"more than 4194304 bytes|chunk"):
        await read((line + b"\r\n") * 2000)


async def test_many_replies_are_not_one() -> None:
    line = b"250-x=" + b"y" * 5000 + b"\r\n250 OK\r\n"
    lines, _ = await read(line * 1000)

    assert len(lines) == 2000


async def test_what_is_not_ascii_is_shown_and_half_an_event_is_none() -> None:
    lines, events = await read(b"551 caf\xc3\xa9\r\n650 STATUS_CLIENT NOTICE CIRCUIT_EST")

    assert (lines, events) == ([rb"551 caf\xc3\xa9" + b"\r\n"], [])
