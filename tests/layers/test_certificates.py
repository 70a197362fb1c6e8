"""What is wrong with a file is one line that names the argument and the file."""

from __future__ import annotations

import ssl
from pathlib import Path
from typing import Any

import pytest
import trustme
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    PrivateFormat,
    load_pem_private_key,
)

from ziggurat.layers.certificates import check_certificates, client_context

CA = trustme.CA()
OWN = CA.issue_cert("client.example")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with files of every kind."""
    key = OWN.private_key_pem.bytes()
    locked = load_pem_private_key(key, None).private_bytes(
        Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"secret")
    )
    (tmp_path / "ca.pem").write_bytes(CA.cert_pem.bytes())
    (tmp_path / "own.pem").write_bytes(OWN.private_key_and_cert_chain_pem.bytes())
    (tmp_path / "cert.pem").write_bytes(OWN.cert_chain_pems[0].bytes())
    (tmp_path / "key.pem").write_bytes(key)
    (tmp_path / "other.pem").write_bytes(CA.issue_cert("other.example").private_key_pem.bytes())
    (tmp_path / "locked.pem").write_bytes(locked)
    (tmp_path / "text").write_text("no certificate", encoding="utf-8")
    (tmp_path / "empty").touch()
    (tmp_path / "cut.pem").write_bytes(CA.cert_pem.bytes()[:-80])
    return tmp_path


def test_a_context_has_the_authorities_of_the_file_only_and_verifies(folder: Path) -> None:
    context = client_context(folder / "ca.pem", None)

    assert len(context.get_ca_certs()) == 1
    assert (context.verify_mode, context.check_hostname) == (ssl.CERT_REQUIRED, True)


def test_without_a_file_the_systems_are_trusted(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(folder / "ca.pem"))
    monkeypatch.setenv("SSL_CERT_DIR", str(folder / "nothing"))

    assert len(client_context(None, None).get_ca_certs()) == 1


@pytest.mark.parametrize("files", ["own.pem", ("own.pem", "own.pem"), ("cert.pem", "key.pem")])
def test_a_client_certificate_is_one_file_or_two(folder: Path, files: Any) -> None:
    paths = folder / files if isinstance(files, str) else tuple(folder / name for name in files)

    check_certificates(None, paths)
    client_context(folder / "ca.pem", paths)


@pytest.mark.parametrize(
    ("name", "problem"),
    [
        ("missing.pem", "no such file or directory"),
        ("", "is a directory|no certificate in PEM format in it|invalid argument"),
        ("text", "no certificate in PEM format in it"),
        ("empty", "no certificate in PEM format in it"),
        ("cut.pem", "no certificate in PEM format in it"),
        ("key.pem", "no certificate in PEM format in it"),
    ],
)
def test_a_file_without_authorities_is_refused(folder: Path, name: str, problem: str) -> None:
    for load in (check_certificates, client_context):
        with pytest.raises(ValueError, match=rf"^ca=.*{name}.*: ({problem})$") as caught:
            load(str(folder / name), None)
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("files", "problem"),
    [
        ("missing.pem", "no such file or directory"),
        ("cert.pem", "no certificate and its key in PEM format in it"),
        ("key.pem", "no certificate and its key in PEM format in it"),
        ("text", "no certificate and its key in PEM format in it"),
        (("cert.pem", "missing.pem"), "no such file or directory"),
        (("cert.pem", "other.pem"), "the key is not that of the certificate"),
        (("cert.pem", "locked.pem"), "the key has a password; load it into a context and pass that"),
    ],
)
def test_a_client_certificate_that_does_not_load_is_refused(folder: Path, files: Any, problem: str) -> None:
    """Without asking for a password on the terminal, as OpenSSL does on its own."""
    paths = str(folder / files) if isinstance(files, str) else tuple(str(folder / name) for name in files)
    with pytest.raises(ValueError, match=rf"^client_cert=.*: {problem}$"):
        check_certificates(None, paths)


@pytest.mark.parametrize("wrong", [("a",), ("a", "b", "c"), ()])
def test_a_pair_is_two(wrong: Any) -> None:
    with pytest.raises(ValueError, match="client_cert must be a file or a pair"):
        check_certificates(None, wrong)


@pytest.mark.parametrize("wrong", [7, b"ca.pem", ["ca.pem"]])
def test_a_file_is_named_by_its_path(wrong: Any) -> None:
    with pytest.raises(TypeError, match="ca must be the path of a PEM file"):
        check_certificates(wrong, None)
    with pytest.raises(TypeError, match="client_cert must be the path of a PEM file"):
        check_certificates(None, wrong)
