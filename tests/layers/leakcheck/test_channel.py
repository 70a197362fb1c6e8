from __future__ import annotations

import os
import socket

import pytest

from ziggurat.layers.leakcheck.channel import Message, receive, send


def test_a_message_brings_its_files() -> None:
    one, other = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    reader, writer = os.pipe()
    with one, other:
        send(one, Message("socket", family=2), [reader])
        send(one, Message("ended", code=3))
        message, files = receive(other)
        assert message == Message("socket", family=2)
        assert receive(other) == (Message("ended", code=3), [])
        os.close(reader)
        os.write(writer, b"x")
        assert os.read(files[0], 1) == b"x"
        os.close(files[0])
        os.close(writer)


def test_the_other_end_is_gone() -> None:
    one, other = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    one.close()
    with other, pytest.raises(EOFError):
        receive(other)
