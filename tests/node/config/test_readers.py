from __future__ import annotations

from pathlib import Path

import pytest

from ziggurat.node.config.networks import MAINNET
from ziggurat.node.config.options import OPTIONS

READERS = {option.name: option.read for option in OPTIONS if option.read is not None}


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [
        ("connect", "192.0.2.1", "192.0.2.1:16111"),
        ("addpeer", "node.example", "node.example:16111"),
        ("listen", "[::]:0", "[::]:0"),
        ("outpeers", "0", "0"),
        ("maxinpeersperaddr", "20", "20"),
        ("inbound-proxy", "172.17.0.0/16", "172.17.0.0/16"),
        ("ban", "::ffff:192.0.2.7", "192.0.2.7/32"),
        ("ban", "agent:*/Bad:*", "UserAgentPattern(text='*/bad:*')"),
        ("loglevel", "WARN", "warn"),
        ("loglevel", "debug,kaspa_p2p=trace", "debug"),
        ("log-format", "json", "json"),
        ("onlynet", "Tor", "onion"),
        ("netsuffix", "4294967295", "4294967295"),
    ],
)
def test_a_text_becomes_a_value(name: str, text: str, value: str) -> None:
    assert str(READERS[name](text, MAINNET)) == value


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("connect", "192.0.2.1:0"),
        ("connect", ""),
        ("listen", "localhost"),
        ("externalip", "node.example:1"),
        ("externalip", "9.9.9.9:0"),
        ("addpeer", "[fe80::1]:1"),
        ("outpeers", "-1"),
        ("outpeers", "٣"),
        ("outpeers", "1" * 5000),
        ("maxinpeersperaddr", "0"),
        ("ban", "192.0.2.300"),
        ("ban", "/kaspad:0.1*"),
        ("ban", "agent:*"),
        ("inbound-proxy", "gateway"),
        ("onlynet", ""),
        ("connect", "a" * 56 + ".onion"),
        ("proxy-net", "ipv4"),
        ("inbound-proxy", "172.17.0.1/16"),
        ("netsuffix", "4294967296"),
        ("loglevel", "loud"),
        ("log-format", "xml"),
        ("uacomment", "a/b"),
        ("appdir", ""),
        ("appdir", "a\0b"),
        ("appdir", "~nobody-of-this-name/x"),
    ],
)
def test_a_bad_text_is_a_value_error(name: str, text: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        READERS[name](text, MAINNET)


def test_a_relative_path_in_a_deleted_directory_is_a_value_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "gone").mkdir()
    monkeypatch.chdir(tmp_path / "gone")
    (tmp_path / "gone").rmdir()
    with pytest.raises(ValueError, match="relative to the working directory, which cannot be found"):
        READERS["appdir"]("data", MAINNET)
    assert READERS["appdir"]("/data", MAINNET) == Path("/data")
