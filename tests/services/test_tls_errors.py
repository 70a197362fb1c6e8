from __future__ import annotations

import ssl

import pytest
from anyio import BrokenResourceError, ClosedResourceError, EndOfStream

from ziggurat.services.errors import ConnectError
from ziggurat.services.tls_errors import broken_tls, tls_error


def ssl_error(reason: str) -> ssl.SSLError:
    return ssl.SSLError(1, f"{reason} (_ssl.c:1006)")


@pytest.mark.parametrize(
    ("reason", "message", "hint"),
    [
        (
            "[SSL: WRONG_VERSION_NUMBER] wrong version number",
            "the peer does not speak TLS (wrong version number)",
            "port",
        ),
        ("[SSL] record layer failure", "the peer does not speak TLS (record layer failure)", "plain-text"),
        (
            "[SSL: SSLV3_ALERT_HANDSHAKE_FAILURE] sslv3 alert handshake failure",
            "the peer sent the TLS alert 'handshake failure'",
            None,
        ),
        (
            "[SSL: SSL/TLS_ALERT_HANDSHAKE_FAILURE] ssl/tls alert handshake failure",
            "the peer sent the TLS alert 'handshake failure'",
            None,
        ),
        ("[SSL] tlsv1 alert no application protocol", "the TLS alert 'no application protocol'", "ALPN"),
        ("[SSL: TLSV1_UNRECOGNIZED_NAME] tlsv1 unrecognized name", "the TLS alert 'unrecognized name'", "name"),
        ("[SSL: UNSUPPORTED_PROTOCOL] unsupported protocol", "handshake failed: unsupported protocol", "too old"),
        ("[SSL: UNEXPECTED_MESSAGE] unexpected message", "the TLS handshake failed: unexpected message", None),
    ],
)
def test_openssls_text_becomes_one_line(reason: str, message: str, hint: str | None) -> None:
    error = tls_error(ssl_error(reason), "a.test")
    assert message in error.message
    assert (hint or "") in (error.hint or "")
    assert not error.transient


@pytest.mark.parametrize("error", [EndOfStream(), ssl.SSLEOFError(8, "EOF"), ssl.SSLZeroReturnError(6, "closed")])
def test_eof_during_the_handshake_is_transient(error: Exception) -> None:
    mapped = tls_error(error, "a.test")
    assert mapped.message == "the peer closed the connection during the TLS handshake"
    assert mapped.transient


@pytest.mark.parametrize(
    ("cause", "text"),
    [
        (None, "the connection was lost during the TLS handshake"),
        (ConnectionResetError(104, "x"), "the connection was lost during the TLS handshake: connection reset by peer"),
        (ConnectError("the tunnel fell in"), "the connection was lost during the TLS handshake: the tunnel fell in"),
    ],
)
@pytest.mark.parametrize("kind", [BrokenResourceError, ClosedResourceError])
def test_a_lost_connection_is_reported_with_its_cause(
    kind: type[Exception], cause: Exception | None, text: str
) -> None:
    error = kind()
    error.__cause__ = cause
    mapped = tls_error(error, "a.test")
    assert mapped.message == text
    assert mapped.transient


def test_an_error_without_text_is_still_reported() -> None:
    assert tls_error(ssl.SSLError(), "a.test").message == "the TLS handshake failed: unknown"


@pytest.mark.parametrize(
    ("reason", "message", "hint"),
    [
        (
            "[SSL: TLSV13_ALERT_CERTIFICATE_REQUIRED] tlsv13 alert certificate required",
            "the peer sent the TLS alert 'certificate required' after the handshake",
            "requires a client certificate: pass one as client_cert=",
        ),
        (
            "[SSL: SSLV3_ALERT_BAD_CERTIFICATE] sslv3 alert bad certificate",
            "the peer sent the TLS alert 'bad certificate' after the handshake",
            "or requires one",
        ),
        (
            "[SSL: TLSV1_ALERT_UNKNOWN_CA] tlsv1 alert unknown ca",
            "'unknown ca'",
            "does not trust the client certificate",
        ),
        ("[SSL: TLSV1_ALERT_INTERNAL_ERROR] tlsv1 alert internal error", "'internal error' after the handshake", None),
        (
            "[SSL: DECRYPTION_FAILED_OR_BAD_RECORD_MAC] decryption failed or bad record mac",
            "TLS failed after the handshake: decryption failed or bad record mac",
            None,
        ),
    ],
)
def test_an_error_after_the_handshake_is_not_transient(reason: str, message: str, hint: str | None) -> None:
    mapped = broken_tls(ssl_error(reason))
    assert message in mapped.message
    assert (hint or "") in (mapped.hint or "")
    assert (hint is None) == (mapped.hint is None)
    assert not mapped.transient
