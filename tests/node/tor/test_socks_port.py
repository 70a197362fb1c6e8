from __future__ import annotations

import pytest

from ziggurat.node.tor import TorError
from ziggurat.node.tor.socks_port import choose_socks_port
from ziggurat.services import Uri

NEAR, NEXT_DOOR, UNIX = Uri("tcp", "127.0.0.1", 9051), Uri("tcp", "tor", 9051), Uri("unix", path="/run/tor/control")


@pytest.mark.parametrize(
    ("listeners", "control", "chosen"),
    [
        ('"127.0.0.1:9050"', NEAR, "socks5://127.0.0.1:9050"),
        ('"192.0.2.1:9050" "127.0.0.1:9150"', NEAR, "socks5://127.0.0.1:9150"),
        ('"unix:/run/tor/socks" "[::1]:9050"', UNIX, "socks5://[::1]:9050"),
        ('"unix:/run/a \\"b\\" \\\\c"', UNIX, 'unix:/run/a "b" \\c'),
        ('"0.0.0.0:9050"', NEAR, "socks5://127.0.0.1:9050"),
        ('"[::]:9050"', UNIX, "socks5://[::1]:9050"),
        ('"127.0.0.1:9050" "0.0.0.0:9055"', NEXT_DOOR, "socks5://tor:9055"),
        ('"unix:/run/tor/socks" "172.17.0.2:9050"', NEXT_DOOR, "socks5://172.17.0.2:9050"),
        ('"127.0.0.1:9050" "127.0.0.1:9051"', NEAR, "socks5://127.0.0.1:9050"),
    ],
)
def test_the_port_that_can_be_reached(listeners: str, control: Uri, chosen: str) -> None:
    assert str(choose_socks_port(listeners, control)) == chosen


@pytest.mark.parametrize(
    ("listeners", "control"),
    [("", NEAR), ('"127.0.0.1:9050" "unix:/run/socks"', NEXT_DOOR), ('"a b"', NEAR), ('"127.0.0.1:0"', NEAR)],
)
def test_none_can(listeners: str, control: Uri) -> None:
    with pytest.raises(TorError, match=r"no SOCKS port that can be reached .*give --socks5-proxy"):
        choose_socks_port(listeners, control)
