"""The server's half of a SOCKS5 handshake: bytes in, bytes out."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ziggurat.layers.forward.handshake import BadClient, ServerHandshake, ServerState, reply
from ziggurat.layers.socks5.auth import Credentials
from ziggurat.layers.socks5.handshake import Handshake, State, connect_request
from ziggurat.services import Uri

GREETED = b"\5\1\0"


def run(*messages: bytes, pieces: int | None = None) -> tuple[ServerHandshake, list[bytes]]:
    """Feed the messages, as far as they are wanted; return the handshake and what it has answered."""
    handshake, answers = ServerHandshake(), list[bytes]()
    rest = b"".join(messages)
    while handshake.wants and rest:
        size = min(handshake.wants, pieces or handshake.wants)
        data, rest = rest[:size], rest[size:]
        handshake.receive(data)
        answers.append(handshake.outgoing())
    assert rest == b""
    return handshake, [answer for answer in answers if answer]


@pytest.mark.parametrize("pieces", [None, 1, 2])
@pytest.mark.parametrize(
    ("address", "target"),
    [
        (b"\3\6a.test\1\xbb", Uri("tcp", "a.test", 443)),
        (b"\3\x091.2.3.4\0\x50".replace(b"\x09", b"\x07"), Uri("tcp", "1.2.3.4", 80)),
        (b"\1\x7f\0\0\1\0\x50", Uri("tcp", "127.0.0.1", 80)),
        (b"\4" + bytes(15) + b"\1\0\x50", Uri("tcp", "::1", 80)),
    ],
)
def test_a_client_without_credentials(address: bytes, target: Uri, pieces: int | None) -> None:
    handshake, answers = run(GREETED, b"\5\1\0" + address, pieces=pieces)
    assert (handshake.state, handshake.target, handshake.credentials) == (ServerState.DONE, target, None)
    assert answers == [b"\5\0"]


@pytest.mark.parametrize("pieces", [None, 1])
@pytest.mark.parametrize(("name", "password"), [(b"u", b"p"), (b"", b""), (b"x" * 255, b"y" * 255), (b"u", b"")])
def test_credentials_of_any_kind_are_taken(name: bytes, password: bytes, pieces: int | None) -> None:
    credentials = bytes([1, len(name)]) + name + bytes([len(password)]) + password
    handshake, answers = run(b"\5\2\0\2", credentials, b"\5\1\0\1\1\2\3\4\0\1", pieces=pieces)
    assert handshake.credentials == (name, password)
    assert answers == [b"\5\2", b"\1\0"]


def test_what_follows_the_request_is_not_wanted() -> None:
    handshake, _ = run(GREETED, b"\5\1\0\1\1\2\3\4\0\1")
    assert handshake.wants == 0


@pytest.mark.parametrize(
    ("messages", "answer", "message"),
    [
        ([b"\4\1"], b"", "does not speak SOCKS5 but SOCKS4"),
        ([b"GE"], b"", "does not speak SOCKS5 but HTTP"),
        ([b"CO"], b"", "does not speak SOCKS5 but HTTP"),
        ([b"\x16\3"], b"", "does not speak SOCKS5 but TLS"),
        ([b"\0\0"], b"", "does not speak SOCKS5$"),
        ([b"\5\1\1"], b"\5\xff", r"no method .* \(01\)"),
        ([b"\5\0"], b"\5\xff", r"no method .* \(none\)"),
        ([b"\5\1\2", b"\5\1u\1p"], b"\1\1", "credentials begin with 0x05, not with 0x01"),
        ([GREETED, b"\4\1\0\1\1\2\3\4\0\1"], reply(1), "request begins with 0x04"),
        ([GREETED, b"\5\2\0\1\1\2\3\4\0\1"], reply(7), "asks for BIND: only CONNECT"),
        ([GREETED, b"\5\3\0\1\1\2\3\4\0\1"], reply(7), "asks for UDP ASSOCIATE: only CONNECT"),
        ([GREETED, b"\5\xf0\0\3\1a\0\1"], reply(7), "asks for command 0xf0"),
        ([GREETED, b"\5\1\0\2\1\2\3\4\0\1"], reply(8), "unknown address type 0x02"),
        ([GREETED, b"\5\1\0\1\1\2\3\4\0\0"], reply(1), "cannot be dialled: bad port: 0"),
        ([GREETED, b"\5\1\0\3\0\0\1"], reply(1), "cannot be dialled: bad host"),
        ([GREETED, b"\5\1\0\3\3a b\0\1"], reply(1), "cannot be dialled: bad host: 'a b'"),
        ([GREETED, b"\5\1\0\3\3\xffab\0\1"], reply(1), "cannot be dialled: bad host"),
    ],
)
def test_a_bad_client_is_answered_and_named(messages: list[bytes], answer: bytes, message: str) -> None:
    handshake = ServerHandshake()
    with pytest.raises(BadClient, match=message) as caught:  # noqa: PT012
        for each in messages:
            while each:
                handshake.outgoing()
                size = min(handshake.wants, len(each))
                assert size
                handshake.receive(each[:size])
                each = each[size:]
    assert handshake.outgoing() == answer
    assert "\n" not in str(caught.value)


def test_a_client_that_leaves_is_told_by_what_is_missing() -> None:
    assert str(ServerHandshake().closed()) == "the client left before its greeting"
    handshake, _ = run(b"\5\1\2")
    assert str(handshake.closed()) == "the client left before its credentials"


def test_the_reply_has_no_address() -> None:
    """shadow/tgen #50: a client took an address in the reply for the place to connect to."""
    assert reply(0) == b"\5\0\0\1\0\0\0\0\0\0"


@given(
    host=st.sampled_from(["a.test", "x" * 63 + ".test", "1.2.3.4", "::1"]),
    port=st.integers(1, 65535),
    credentials=st.none() | st.tuples(st.binary(min_size=1, max_size=255), st.binary(min_size=1, max_size=255)),
    required=st.booleans(),
)
def test_our_own_client_and_server_understand_each_other(
    host: str, port: int, credentials: tuple[bytes, bytes] | None, required: bool
) -> None:
    uri = Uri("tcp", host, port)
    given_ones = None if credentials is None else Credentials(*credentials, required=required)
    client, server = Handshake(connect_request(uri), given_ones), ServerHandshake()
    while client.state is not State.OPEN:
        sent = client.outgoing()
        while sent:
            size = min(server.wants, len(sent))
            assert size
            server.receive(sent[:size])
            sent = sent[size:]
        answer = server.outgoing() or reply(0)
        while answer:
            size = min(client.wants, len(answer))
            client.receive(answer[:size])
            answer = answer[size:]
    assert (server.target, server.credentials) == (uri, credentials)
