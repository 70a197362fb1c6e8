"""The sans-I/O handshake: every reply split at every byte, and everything that a proxy may do wrong."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ziggurat.layers.socks5.auth import Credentials
from ziggurat.layers.socks5.handshake import Handshake, Pipeline, State, connect_request
from ziggurat.services import ConnectError, ProxyAuthError, ProxyError, ProxyProtocolError, ProxyRefused, Uri

URI = Uri.parse("http://example.com:443")
REQUEST = b"\x05\x01\x00\x03\x0bexample.com\x01\xbb"
AUTH = b"\x01\x04user\x04pass"
CREDENTIALS = Credentials(b"user", b"pass")
OPTIONAL = Credentials(b"user", b"pass", required=False, isolating=True)
IPV4 = b"\x05\x00\x00\x01\x7f\x00\x00\x01\x1f\x90"
IPV6 = b"\x05\x00\x00\x04" + bytes(15) + b"\x01\x00\x50"
DOMAIN = b"\x05\x00\x00\x03\x0bexample.com\x00\x50"
EMPTY_DOMAIN = b"\x05\x00\x00\x03\x00\x00\x00"


class Proxy:
    """Feeds a proxy's bytes to a handshake in pieces of at most ``size``, and records what the client sent."""

    def __init__(self, handshake: Handshake, size: int = 1000) -> None:
        self.handshake = handshake
        self.size = size
        self.sent: list[bytes] = []

    def play(self, data: bytes) -> bytes:
        """Return the unread bytes."""
        while True:
            if message := self.handshake.outgoing():
                self.sent.append(message)
            take = min(self.handshake.wants, self.size, len(data))
            if not take:
                return data
            self.handshake.receive(data[:take])
            data = data[take:]


def handshake(credentials: Credentials | None = None, pipeline: Pipeline = None) -> Handshake:
    return Handshake(connect_request(URI), credentials, pipeline)


@pytest.mark.parametrize("size", [1, 2, 3, 5, 7, 1000])
@pytest.mark.parametrize(
    ("reply", "bound"),
    [
        (IPV4, ("127.0.0.1", 8080)),
        (IPV6, ("::1", 80)),
        (DOMAIN, ("example.com", 80)),
        (EMPTY_DOMAIN, ("", 0)),
    ],
)
def test_a_tunnel_opens_and_bytes_after_the_reply_are_not_read(size: int, reply: bytes, bound: tuple[str, int]) -> None:
    proxy = Proxy(handshake(), size)
    rest = proxy.play(b"\x05\x00" + reply + b"PRI * HTTP/2.0")

    assert proxy.handshake.state is State.OPEN
    assert proxy.handshake.wants == 0
    assert proxy.handshake.bound == bound
    assert rest == b"PRI * HTTP/2.0"
    assert proxy.sent == [b"\x05\x01\x00", REQUEST]


@given(reply=st.sampled_from([IPV4, IPV6, DOMAIN, EMPTY_DOMAIN]), sizes=st.lists(st.integers(1, 9)), tail=st.binary())
def test_any_split_gives_the_same_tunnel(reply: bytes, sizes: list[int], tail: bytes) -> None:
    one = handshake(CREDENTIALS)
    data = b"\x05\x02\x01\x00" + reply + tail
    for size in [*sizes, *([1] * len(data))]:
        if not one.wants:
            break
        one.outgoing()
        take = min(size, one.wants)
        one.receive(data[:take])
        data = data[take:]

    assert one.state is State.OPEN
    assert data == tail


@given(st.binary(max_size=300))
def test_any_input_opens_a_tunnel_or_raises_one_clear_error(data: bytes) -> None:
    proxy = Proxy(handshake(OPTIONAL))
    outcome = ""
    with contextlib.suppress(ProxyError):
        proxy.play(data)
        outcome = "no error"

    assert outcome or proxy.handshake.state is not State.OPEN


def test_credentials_are_offered_alone() -> None:
    proxy = Proxy(handshake(CREDENTIALS))
    proxy.play(b"\x05\x02\x01\x00" + IPV4)

    assert proxy.sent == [b"\x05\x01\x02", AUTH, REQUEST]


@pytest.mark.parametrize(("choice", "sent"), [(b"\x05\x00", [REQUEST]), (b"\x05\x02\x01\x00", [AUTH, REQUEST])])
def test_optional_credentials_are_offered_along_with_no_authentication(choice: bytes, sent: list[bytes]) -> None:
    proxy = Proxy(handshake(OPTIONAL))
    proxy.play(choice + IPV4)

    assert proxy.sent == [b"\x05\x02\x00\x02", *sent]
    assert proxy.handshake.state is State.OPEN


@pytest.mark.parametrize(
    ("credentials", "pipeline", "replies", "sent"),
    [
        (None, "auth", b"\x05\x00", [b"\x05\x01\x00", REQUEST]),
        (None, "all", b"\x05\x00", [b"\x05\x01\x00" + REQUEST]),
        (CREDENTIALS, "auth", b"\x05\x02\x01\x00", [b"\x05\x01\x02", AUTH + REQUEST]),
        (CREDENTIALS, "all", b"\x05\x02\x01\x00", [b"\x05\x01\x02" + AUTH + REQUEST]),
        (OPTIONAL, "all", b"\x05\x02\x01\x00", [b"\x05\x02\x00\x02", AUTH + REQUEST]),
        (OPTIONAL, "all", b"\x05\x00", [b"\x05\x02\x00\x02", REQUEST]),
    ],
)
@pytest.mark.parametrize("size", [1, 1000])
def test_pipelining_sends_ahead_and_reads_the_same(
    credentials: Credentials | None, pipeline: Pipeline, replies: bytes, sent: list[bytes], size: int
) -> None:
    proxy = Proxy(handshake(credentials, pipeline), size)

    assert proxy.play(replies + DOMAIN + b"x") == b"x"
    assert proxy.sent == sent
    assert proxy.handshake.state is State.OPEN


@pytest.mark.parametrize("tail", [b"", b"\x00", b"\x00\x00", b"\x00\x01" + bytes(6), b"\x77\x63garbage"])
@pytest.mark.parametrize("code", [*range(1, 9), 0x42, *range(0xF0, 0xF8), 0xFF])
def test_the_reply_code_is_checked_before_the_rest(code: int, tail: bytes) -> None:
    proxy = Proxy(handshake())
    with pytest.raises(ProxyRefused) as caught:
        proxy.play(b"\x05\x00\x05" + bytes([code]) + tail)

    assert caught.value.reply_code == code
    assert f"{code:#04x}" in str(caught.value)


@pytest.mark.parametrize(
    ("first", "guess"),
    [
        (b"HTTP/1.1 400 Bad Request\r\n", "it speaks HTTP"),
        (b"\x00\x00\x12\x04\x00\x00\x00\x00\x00", "it speaks HTTP/2"),
        (b"\x00\x5b", "it speaks SOCKS4"),
        (b"\x15\x03\x01\x00\x02", "it speaks TLS"),
        (b"SSH-2.0", "it speaks SSH"),
        (b"\x06\x00", "its reply begins with 06"),
    ],
)
def test_another_protocol_is_recognised_by_its_first_bytes(first: bytes, guess: str) -> None:
    proxy = Proxy(handshake(), 1)
    with pytest.raises(ProxyProtocolError, match=f"not a SOCKS5 proxy.*{guess}") as caught:
        proxy.play(first)
    assert not caught.value.transient


def test_a_reply_of_one_zero_is_not_judged_yet() -> None:
    proxy = Proxy(handshake(), 1)
    proxy.play(b"\x00")

    assert proxy.handshake.state is State.GREETING
    assert "1 bytes" in proxy.handshake.closed(reset=False).message


@pytest.mark.parametrize("credentials", [CREDENTIALS, None])
def test_no_acceptable_method_says_what_to_do(credentials: Credentials | None) -> None:
    with pytest.raises(ProxyAuthError, match=r"0xff.*auth=") as caught:
        Proxy(handshake(credentials)).play(b"\x05\xff")
    assert not caught.value.transient


@pytest.mark.parametrize(
    ("credentials", "method"), [(None, 2), (None, 1), (CREDENTIALS, 0), (CREDENTIALS, 1), (OPTIONAL, 3), (None, 0x80)]
)
def test_a_method_that_was_not_offered_gets_no_credentials(credentials: Credentials | None, method: int) -> None:
    proxy = Proxy(handshake(credentials))
    with pytest.raises(ProxyProtocolError, match=f"{method:#04x}, which was not offered"):
        proxy.play(bytes([5, method]))
    assert len(proxy.sent) == 1


@pytest.mark.parametrize("reply", [b"\x01\x01", b"\x05\x01", b"\x01\xff", b"\x00\x02"])
def test_refused_credentials_are_reported_with_the_status_byte(reply: bytes) -> None:
    with pytest.raises(ProxyAuthError, match=f"refused the credentials .status {reply[1]:#04x}."):
        Proxy(handshake(CREDENTIALS)).play(b"\x05\x02" + reply)


def test_a_success_with_version_5_is_tolerated_and_noted() -> None:
    proxy = Proxy(handshake(CREDENTIALS))
    proxy.play(b"\x05\x02\x05\x00" + IPV4)

    assert proxy.handshake.state is State.OPEN
    assert proxy.handshake.odd


def test_another_version_in_the_auth_reply_is_refused() -> None:
    with pytest.raises(ProxyProtocolError, match="version 0x48"):
        Proxy(handshake(CREDENTIALS)).play(b"\x05\x02\x48\x00")


@pytest.mark.parametrize("reply", [b"\x04\x00", b"HTTP"])
def test_a_wrong_version_in_the_connect_reply_is_refused(reply: bytes) -> None:
    with pytest.raises(ProxyProtocolError, match="not a SOCKS5 proxy"):
        Proxy(handshake()).play(b"\x05\x00" + reply)


@pytest.mark.parametrize("atyp", [0, 2, 5, 255])
def test_an_unknown_address_type_in_a_success_is_refused(atyp: int) -> None:
    with pytest.raises(ProxyProtocolError, match=f"address type {atyp:#04x}"):
        Proxy(handshake()).play(b"\x05\x00\x05\x00\x00" + bytes([atyp]) + bytes(6))


def test_the_reserved_byte_is_ignored() -> None:
    proxy = Proxy(handshake())
    proxy.play(b"\x05\x00\x05\x00\x77" + IPV4[3:])

    assert proxy.handshake.state is State.OPEN


@pytest.mark.parametrize("reset", [True, False])
@pytest.mark.parametrize(
    "came", [b"", b"\x05", b"\x05\x02", b"\x05\x02\x01", b"\x05\x02\x01\x00", b"\x05\x02\x01\x00\x05\x00"]
)
def test_the_error_of_a_connection_that_ends_names_the_step(came: bytes, reset: bool) -> None:
    proxy = Proxy(handshake(CREDENTIALS))
    proxy.play(came)
    error = proxy.handshake.closed(reset=reset)

    assert ("reset" if reset else "closed") in str(error)
    assert error.transient


@pytest.mark.parametrize(
    ("target", "address"),
    [
        ("http://1.2.3.4:80", b"\x01\x01\x02\x03\x04"),
        ("http://[::1]:80", b"\x04" + bytes(15) + b"\x01"),
        ("http://localhost:80", b"\x03\x09localhost"),
        ("http://bücher.example:80", b"\x03\x15xn--bcher-kva.example"),
        (f"http://{'a' * 56}.onion:80", b"\x03\x3e" + b"a" * 56 + b".onion"),
    ],
)
def test_a_request_names_its_target(target: str, address: bytes) -> None:
    assert connect_request(Uri.parse(target)) == b"\x05\x01\x00" + address + b"\x00\x50"


@pytest.mark.parametrize(("target", "text"), [("http://1.2.3.4:80", b"1.2.3.4"), ("http://[::1]:80", b"::1")])
def test_literals_can_be_sent_as_text_without_brackets(target: str, text: bytes) -> None:
    request = connect_request(Uri.parse(target), "domain")
    assert request == b"\x05\x01\x00\x03" + bytes([len(text)]) + text + b"\x00\x50"


def test_a_host_of_255_bytes_fits_and_one_more_does_not() -> None:
    host = ".".join(["a" * 63] * 4)
    assert len(host) == 255
    assert connect_request(Uri.parse(f"http://{host}:80"))[4] == 255
    with pytest.raises(ValueError, match="255"):
        Uri.parse(f"http://{host}a:80")


@pytest.mark.parametrize("target", ["unix:/run/x", "unix-abstract:x", "http://[fe80::1%eth0]:80"])
def test_a_target_that_socks5_cannot_express_is_refused(target: str) -> None:
    with pytest.raises(ConnectError) as caught:
        connect_request(Uri.parse(target))
    assert not caught.value.transient
