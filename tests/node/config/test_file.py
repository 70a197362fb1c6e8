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


def test_a_kaspad_file_is_read_and_keys_without_effect_are_listed(path: Path) -> None:
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


def test_a_byte_order_mark_is_no_part_of_the_file(path: Path) -> None:
    path.write_bytes(b"\xef\xbb\xbfoutpeers = 4")

    assert read_config_file(path)[0] == {"outpeers": "4"}


def test_listen_is_a_string_as_in_kaspad_or_a_list(path: Path) -> None:
    path.write_text('listen = "0.0.0.0"')
    assert read_config_file(path)[0] == {"listen": ("0.0.0.0",)}

    path.write_text('listen = ["0.0.0.0", "::1"]')
    assert read_config_file(path)[0] == {"listen": ("0.0.0.0", "::1")}


@pytest.mark.parametrize("key", ["socks5-proxy", "proxy"])
def test_our_own_keys_are_read_as_well(path: Path, key: str) -> None:
    path.write_text(f'{key} = "127.0.0.1:9050"')

    assert read_config_file(path)[0] == {key: "127.0.0.1:9050"}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("sock5-proxy = 'a'", "unknown key 'sock5-proxy'; did you mean 'socks5-proxy'?"),
        ("socks5_proxy = 'a'", "unknown key 'socks5_proxy'; did you mean 'socks5-proxy'?"),
        ("configfile = 'a'", "unknown key 'configfile'"),
        ("[connect]", "connect must be a list of strings"),
        ("connect = 'a'", "connect must be a list of strings"),
        ("listen = 1", "listen must be a string or a list of strings"),
        ("connect = [1]", "connect must be a list of strings"),
        ("outpeers = '4'", "outpeers must be an integer"),
        ("outpeers = true", "outpeers must be an integer"),
        ("nodnsseed = 1", "nodnsseed must be true or false"),
        ("listen = 1", "listen must be a string"),
        ("listen = ", "is not valid TOML"),
    ],
)
def test_an_error_names_the_file_and_the_key(path: Path, text: str, message: str) -> None:
    path.write_text(text)

    with pytest.raises(SettingsError, match=message) as caught:
        read_config_file(path)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_missing_file_is_named(path: Path) -> None:
    with pytest.raises(SettingsError, match=rf"--configfile: cannot read {path}: No such file"):
        read_config_file(path)


def test_a_file_that_is_not_utf_8_is_an_error(path: Path) -> None:
    path.write_bytes(b"\xff\xfe")

    with pytest.raises(SettingsError, match="not UTF-8"):
        read_config_file(path)
