from __future__ import annotations

import socket

import pytest

from tests.layers.leakcheck.namespaces import need_namespaces
from ziggurat.layers.leakcheck import CommandError, NamespaceError
from ziggurat.layers.leakcheck.outside import Inside


@pytest.fixture(autouse=True)
def _namespaces() -> None:
    need_namespaces()


def test_a_run_from_beginning_to_end() -> None:
    with Inside() as inside:
        sink, loopback, listeners = inside.prepare([("127.0.0.1", 9050), ("192.0.2.5", 1080)], ["192.0.2.5"], [])
        names = [listener.getsockname() for listener in listeners]
        for each in (sink, loopback, *listeners):
            each.close()
        pid = inside.run(["sh", "-c", "exit 7"])
        code = inside.wait(30.0)

    assert names == [("127.0.0.1", 9050), ("192.0.2.5", 1080)]
    assert pid > 0
    assert code == 7


def test_the_end_of_the_block_ends_the_command() -> None:
    with Inside() as inside:
        for each in inside.prepare([], [], [])[:2]:
            each.close()
        inside.run(["sleep", "600"])
        assert inside.wait(0.01) is None
        with inside.socket(socket.AF_INET) as made, pytest.raises(ConnectionRefusedError):
            made.connect(("127.0.0.1", 9))


def test_it_says_why_it_cannot() -> None:
    with Inside() as inside, pytest.raises(NamespaceError, match=r"^/no/such/target cannot be replaced"):
        inside.prepare([], [], [("/dev/null", "/no/such/target")])
    with Inside() as inside, pytest.raises(NamespaceError, match=r"^Cannot assign requested address$"):
        inside.prepare([("192.0.2.5", 1080)], [], [])
    with Inside() as inside:
        for each in inside.prepare([], [], [])[:2]:
            each.close()
        with pytest.raises(CommandError, match=r"^nonsense cannot be run"):
            inside.run(["nonsense"])
