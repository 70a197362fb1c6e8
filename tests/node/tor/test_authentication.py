from __future__ import annotations

import os
from pathlib import Path

import pytest

from ziggurat.node.tor import ControlCredentials, TorError
from ziggurat.node.tor.authentication import choose_method, read_cookie, read_password

PASSWORD, COOKIE = ControlCredentials(Path("p")), ControlCredentials(cookie=Path("c"))


@pytest.mark.parametrize(
    ("offered", "credentials", "method"),
    [
        ("NULL", ControlCredentials(), "NULL"),
        ("NULL SAFECOOKIE", ControlCredentials(), "NULL"),
        ("COOKIE SAFECOOKIE HASHEDPASSWORD", ControlCredentials(), "SAFECOOKIE"),
        ("NULL HASHEDPASSWORD SAFECOOKIE", PASSWORD, "HASHEDPASSWORD"),
        ("NULL HASHEDPASSWORD SAFECOOKIE", COOKIE, "SAFECOOKIE"),
    ],
)
def test_what_the_user_gave_decides(offered: str, credentials: ControlCredentials, method: str) -> None:
    assert choose_method(offered.split(), credentials) == method


@pytest.mark.parametrize(
    ("offered", "credentials", "message"),
    [
        ("HASHEDPASSWORD", ControlCredentials(), "give --tor-password-file or --tor-cookie"),
        ("COOKIE", ControlCredentials(), "Tor wants COOKIE"),
        ("NULL COOKIE", COOKIE, "does not offer SAFECOOKIE .*CookieAuthentication 1.*COOKIE, NULL"),
        ("SAFECOOKIE", PASSWORD, "does not offer HASHEDPASSWORD .*HashedControlPassword"),
        ("", ControlCredentials(), "Tor wants no method"),
    ],
)
def test_no_method_will_do(offered: str, credentials: ControlCredentials, message: str) -> None:
    with pytest.raises(TorError, match=message):
        choose_method(offered.split(), credentials)


def test_a_password_and_a_cookie_are_too_much() -> None:
    with pytest.raises(ValueError, match="mutually exclusive"):
        ControlCredentials(Path("p"), Path("c"))


@pytest.mark.parametrize("size", [0, 31, 33, 1000])
def test_a_file_of_another_size_is_no_cookie(size: int, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"x" * size)
    with pytest.raises(TorError, match="it has not 32 bytes"):
        read_cookie(tmp_path / "file")


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="the system has no FIFOs")
def test_what_is_no_file_is_neither_read_nor_waited_for(tmp_path: Path) -> None:
    """The path is the word of whoever listens on the control port (control-spec 3.24)."""
    os.mkfifo(tmp_path / "fifo")
    for path, reason in ((tmp_path / "fifo", "not a regular file"), (Path("/dev/zero"), "not a regular file")):
        with pytest.raises(TorError, match=f"cannot read Tor's cookie {path}: {reason}"):
            read_cookie(path)
    with pytest.raises(TorError, match=r"cannot read Tor's cookie .*null"):
        read_cookie(Path("a\0b"))


def test_a_cookie_behind_a_link_is_read(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"x" * 32)
    (tmp_path / "link").symlink_to(tmp_path / "file")

    assert read_cookie(tmp_path / "link") == b"x" * 32


def test_a_cookie_in_the_container_next_door_is_explained(tmp_path: Path) -> None:
    """lightningnetwork/lnd#1697: Tor names the path that it sees itself."""
    with pytest.raises(TorError, match=r"No such file or directory; where Tor runs in a container, --tor-cookie names"):
        read_cookie(tmp_path / "none")


def test_a_password_saved_by_an_editor(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"\xef\xbb\xbfsecret\r\nmore")
    assert read_password(tmp_path / "file") == "secret"
    (tmp_path / "file").write_bytes(b"\xff\xfe")
    with pytest.raises(TorError, match=r"it is not text$"):
        read_password(tmp_path / "file")


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(TorError, match=r"cannot read Tor's cookie .*/none: No such file"):
        read_cookie(tmp_path / "none")
    with pytest.raises(TorError, match=r"cannot read the password .*/none: No such file"):
        read_password(tmp_path / "none")


def test_an_empty_password_is_none(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("\nsecret")
    with pytest.raises(TorError, match="has no password"):
        read_password(tmp_path / "file")


def test_a_binary_file_is_no_password(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"\xff\xfe")
    with pytest.raises(TorError, match="cannot read the password"):
        read_password(tmp_path / "file")
