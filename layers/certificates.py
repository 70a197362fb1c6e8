"""Load certificates and keys from PEM files into a TLS context, and say in one line what is wrong with a file."""

from __future__ import annotations

import os
import ssl
from collections.abc import Generator
from contextlib import contextmanager
from typing import TypeAlias, cast

from ziggurat.services.errors import one_line
from ziggurat.services.system_error import reason

__all__ = ["ClientCertificate", "PemFile", "check_certificates", "client_context"]

PemFile: TypeAlias = str | os.PathLike[str]
ClientCertificate: TypeAlias = PemFile | tuple[PemFile, PemFile]


def client_context(ca: PemFile | None, client_cert: ClientCertificate | None) -> ssl.SSLContext:
    """Return a client's context that verifies the host name.

    Args:
        ca: a PEM file with the only authorities to trust; ``None`` for the system's.
        client_cert: a PEM file with our certificate, those between it and its authority, and the key; or two files, the
            certificates and the key. ``None`` for no certificate.

    Raises:
        TypeError, ValueError: an argument is wrong; the message names it.
    """
    with _explained("ca", ca, "no certificate in PEM format in it"):
        context = ssl.create_default_context(cafile=None if ca is None else _path("ca", ca))
    _load_client_certificate(context, client_cert)
    return context


def check_certificates(ca: PemFile | None, client_cert: ClientCertificate | None) -> None:
    """Check that the files can be loaded, without the time that the system's authorities take.

    Raises:
        TypeError, ValueError: one cannot; the message names the argument and the file.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    if ca is not None:
        with _explained("ca", ca, "no certificate in PEM format in it"):
            context.load_verify_locations(_path("ca", ca))
    _load_client_certificate(context, client_cert)


def _load_client_certificate(context: ssl.SSLContext, client_cert: ClientCertificate | None) -> None:
    if client_cert is None:
        return
    if isinstance(client_cert, tuple):
        if len(cast("tuple[object, ...]", client_cert)) != 2:
            raise ValueError(f"client_cert must be a file or a pair (certificate, key), not {client_cert!r}")
        certificate, key = (_path("client_cert", each) for each in client_cert)
    else:
        certificate, key = _path("client_cert", client_cert), None

    def refuse() -> str:
        # Without this, OpenSSL would ask for the password on the terminal.
        raise ValueError(f"client_cert={client_cert!r}: the key has a password; load it into a context and pass that")

    with _explained("client_cert", client_cert, "no certificate and its key in PEM format in it"):
        context.load_cert_chain(certificate, key, refuse)


def _path(name: str, value: object) -> str:
    path = os.fspath(cast("os.PathLike[str]", value)) if isinstance(value, os.PathLike) else value
    if not isinstance(path, str):
        raise TypeError(f"{name} must be the path of a PEM file, not {type(path).__name__}")
    return path


@contextmanager
def _explained(name: str, value: object, not_pem: str) -> Generator[None, None, None]:
    """Raise what goes wrong with a file as a ``ValueError`` of one line."""
    try:
        yield
    except ssl.SSLError as error:
        mismatch = "KEY_VALUES_MISMATCH" in str(error)
        problem = "the key is not that of the certificate" if mismatch else not_pem
        raise ValueError(one_line(f"{name}={value!r}: {problem}")) from error
    except OSError as error:
        raise ValueError(one_line(f"{name}={value!r}: {reason(error)}")) from error
