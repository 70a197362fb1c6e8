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
    """TheTorProject/bwscanner#37, bitcoin/bitcoin#26478: unix sockets in the list, and Tor in a container."""
    assert str(choose_socks_port(listeners, control)) == chosen


def test_a_path_is_unescaped() -> None:
    assert choose_socks_port(r'"unix:/od d/\303\251\"q/socks"', UNIX) == Uri("unix", path='/od d/é"q/socks')


@pytest.mark.parametrize(
    ("listeners", "settings", "chosen"),
    [
        ('"127.0.0.1:9050" "127.0.0.1:9150"', ["9050 OnionTrafficOnly", "9150"], "socks5://127.0.0.1:9150"),
        ('"127.0.0.1:9050" "127.0.0.1:9150"', ["localhost:9050 NoIPv4Traffic", "9150"], "socks5://127.0.0.1:9150"),
        ('"127.0.0.1:9050" "127.0.0.1:9150"', ["9050 NoDNSRequest", "9150"], "socks5://127.0.0.1:9150"),
        ('"127.0.0.1:9050" "127.0.0.1:9150"', ["9050 noonionTRAFFIC", "9150"], "socks5://127.0.0.1:9150"),
        ('"127.0.0.1:9050" "127.0.0.1:9150"', ["9050 NoIsolateSOCKSAuth", "9150"], "socks5://127.0.0.1:9150"),
        ('"127.0.0.1:9050" "127.0.0.1:9150"', ["9050", "9150 ExtendedErrors"], "socks5://127.0.0.1:9150"),
        ('"127.0.0.1:9050" "127.0.0.1:9150"', ["9050 IsolateDestAddr", "9150"], "socks5://127.0.0.1:9050"),
        ('"127.0.0.1:9050" "unix:/a b"', ["9050 OnionTrafficOnly", 'unix:"/a b" WorldWritable'], "unix:/a b"),
        ('"127.0.0.1:9050" "unix:/a"', ["9050", "unix:/a ExtendedErrors"], "socks5://127.0.0.1:9050"),
        ('"127.0.0.1:37601"', ["auto OnionTrafficOnly"], "socks5://127.0.0.1:37601"),
        ('"127.0.0.1:9050"', ["9050 OnionTrafficOnly"], "socks5://127.0.0.1:9050"),
    ],
)
def test_a_port_for_some_other_program_is_the_last_choice(listeners: str, settings: list[str], chosen: str) -> None:
    """Its flags are in the settings alone; the list has none (Whonix and Tails have a port for each program)."""
    assert str(choose_socks_port(listeners, NEAR, settings)) == chosen


@pytest.mark.parametrize(
    ("listeners", "control"),
    [("", NEAR), ('"127.0.0.1:9050" "unix:/run/socks"', NEXT_DOOR), ('"a b"', NEAR), ('"127.0.0.1:0"', NEAR)],
)
def test_none_can(listeners: str, control: Uri) -> None:
    with pytest.raises(TorError, match=r"no SOCKS port that can be reached .*give --socks5-proxy"):
        choose_socks_port(listeners, control)
