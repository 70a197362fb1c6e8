from __future__ import annotations

from pathlib import Path

import pytest

from ziggurat.node.config.file import read_config_file
from ziggurat.node.config.settings import SettingsError

KASPADS = """
testnet = true
netsuffix = 10
addpeer = ["192.0.2.1", "192.0.2.2:16211"]
outpeers = 4
loglevel = "info"
utxoindex = true
rpclisten = "127.0.0.1:16210"
ram-scale = 0.5
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "node.toml"


def test_a_file_of_kaspads_is_read_and_what_means_nothing_here_is_named(path: Path) -> None:
    path.write_text(KASPADS)

    given, ignored = read_config_file(path)

    assert given == {
        "testnet": True,
        "netsuffix": "10",
        "addpeer": ("192.0.2.1", "192.0.2.2:16211"),
        "outpeers": "4",
        "loglevel": "info",
    }
    assert ignored == ["utxoindex", "rpclisten", "ram-scale"]


@pytest.mark.parametrize("key", ["socks5-proxy", "proxy"])
def test_our_own_keys_stand_beside_them(path: Path, key: str) -> None:
    path.write_text(f'{key} = "127.0.0.1:9050"')

    assert read_config_file(path)[0] == {"socks5-proxy": "127.0.0.1:9050"}


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("sock5-proxy = 'a'", "unknown key 'sock5-proxy'"),
        ("configfile = 'a'", "unknown key 'configfile'"),
        ("[connect]", "connect takes a list of texts"),
        ("connect = 'a'", "connect takes a list of texts"),
        ("connect = [1]", "connect takes a list of texts"),
        ("outpeers = '4'", "outpeers takes a number"),
        ("outpeers = true", "outpeers takes a number"),
        ("nodnsseed = 1", "nodnsseed takes true or false"),
        ("listen = 1", "listen takes a text"),
        ("proxy = 'a'\nsocks5-proxy = 'b'", "are one setting"),
        ("listen = ", "is no TOML"),
    ],
)
def test_what_is_wrong_is_named(path: Path, text: str, complaint: str) -> None:
    path.write_text(text)

    with pytest.raises(SettingsError, match=complaint) as caught:
        read_config_file(path)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_missing_file_is_named(path: Path) -> None:
    with pytest.raises(SettingsError, match=rf"--configfile: cannot read {path}: No such file"):
        read_config_file(path)


def test_a_file_that_is_no_text_is_no_toml(path: Path) -> None:
    path.write_bytes(b"\xff\xfe")

    with pytest.raises(SettingsError, match="not UTF-8"):
        read_config_file(path)
