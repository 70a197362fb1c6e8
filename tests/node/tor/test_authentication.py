from __future__ import annotations

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
