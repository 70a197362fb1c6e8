"""The server's side of SOCKS5 messages, against the layouts in the RFCs."""

from __future__ import annotations

import anyio
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ziggurat.layers.testing import SplitStream, stream_pair
from ziggurat.layers.testing.socks5_messages import (
    Credentials,
    MalformedMessageError,
    Request,
    read_credentials,
    read_exactly,
    read_methods,
    read_request,
    reply,
)


async def test_the_messages_of_the_rfcs_are_read_and_nothing_beyond() -> None:
    near, far = stream_pair()
    await near.send(
        b"\5\2\0\2"
        b"\1\4user\4word"
        b"\5\1\0\1\x7f\0\0\1\0\x50"
        b"\5\1\0\3\x0bexample.com\x01\xbb"
        b"\5\2\0\4" + bytes(15) + b"\1\xff\xff"
        b"rest"
    )  # fmt: skip
    for stream in (SplitStream(far, 1),):
        assert await read_methods(stream) == (0, 2)
        assert await read_credentials(stream) == Credentials(b"user", b"word")
        assert await read_request(stream) == Request(1, 1, "127.0.0.1", 80)
        assert await read_request(stream) == Request(1, 3, "example.com", 443)
        assert await read_request(stream) == Request(2, 4, "::1", 65535)
        assert await read_exactly(stream, 4) == b"rest"


@pytest.mark.parametrize(
    ("data", "read", "code", "message"),
    [
        (b"\4\1", read_methods, 1, "the greeting begins with 0x04"),
        (b"\5\1", read_credentials, 1, "the credentials begin with 0x05"),
        (b"\4\1\0\1", read_request, 1, "the request begins with 0x04 and has 0x00"),
        (b"\5\1\1\1", read_request, 1, "the request begins with 0x05 and has 0x01"),
        (b"\5\1\0\2", read_request, 8, "unknown address type 0x02"),
    ],
)
async def test_anything_but_socks5_is_reported(data: bytes, read: object, code: int, message: str) -> None:
    near, far = stream_pair()
    await near.send(data)
    with pytest.raises(MalformedMessageError, match=message) as caught:
        await read(far)  # type: ignore[operator]
    assert caught.value.reply_code == code


async def test_a_truncated_message_is_an_end_of_stream() -> None:
    near, far = stream_pair()
    await near.send(b"\5\2\0")
    await near.aclose()
    with pytest.raises(anyio.EndOfStream):
        await read_methods(far)


async def test_a_non_ascii_name_is_escaped() -> None:
    near, far = stream_pair()
    await near.send(b"\5\1\0\3\2\xc3\xa9\0\1")
    assert (await read_request(far)).host == "\\xc3\\xa9"


@pytest.mark.parametrize(
    ("made", "expected"),
    [
        (reply(0), b"\5\0\0\1\0\0\0\0\0\0"),
        (reply(0xF1, "::1", 258), b"\5\xf1\0\4" + bytes(15) + b"\1\1\2"),
        (reply(5, "a.b", 1), b"\5\5\0\3\3a.b\0\1"),
    ],
)
def test_a_reply_has_the_address_type_of_its_host(made: bytes, expected: bytes) -> None:
    assert made == expected


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((256,), r"code must be a whole number \(0 to 255\), not 256"),
        ((0, "a", 65536), r"port must be a whole number \(0 to 65535\), not 65536"),
        ((0, "a" * 256), "at most 255 bytes, not 256"),
    ],
)
def test_a_reply_that_does_not_fit_is_refused(arguments: tuple[int, str, int], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        reply(*arguments)


@given(username=st.binary(max_size=255), password=st.binary(max_size=255), split=st.integers(1, 600))
def test_any_credentials_arrive_whatever_the_split(username: bytes, password: bytes, split: int) -> None:
    async def run() -> Credentials:
        near, far = stream_pair()
        message = b"\1" + bytes([len(username)]) + username + bytes([len(password)]) + password
        await SplitStream(near, split).send(message)
        return await read_credentials(far)

    assert anyio.run(run) == Credentials(username, password)
