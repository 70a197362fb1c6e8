"""Explain in one line why TLS failed, during the handshake or after it."""

from __future__ import annotations

import re
import ssl

from anyio import BrokenResourceError, ClosedResourceError, EndOfStream

from ziggurat.services.errors import ConnectError, TlsError
from ziggurat.services.system_error import reason

__all__ = ["HANDSHAKE_ERRORS", "broken_tls", "tls_error"]

HANDSHAKE_ERRORS = (ssl.SSLError, EndOfStream, BrokenResourceError, ClosedResourceError)
"""Raised by a handshake on an anyio stream if the peer or the connection fails."""

CERTIFICATE_HINTS = {
    9: "check this machine's clock",
    10: "its operator must renew it, unless this machine's clock is wrong",
    18: "to trust it, pass its file as ca=",
    19: "to trust its authority, pass the file of that one's certificate as ca=",
    20: "to trust its authority, pass the file of that one's certificate as ca=",
    62: "is this the right host? TLS verifies the name that is dialled, or server_name=",
    64: "is this the right address? TLS verifies the address that is dialled, or server_name=",
}
"""By OpenSSL's X509_V_ERR codes (x509_vfy.h): not yet valid, expired, self-signed (alone, in a chain), issuer unknown,
another name, another address."""

NO_TLS = frozenset({"wrong version number", "packet length too long", "http request", "unknown protocol"})
"""OpenSSL's texts for bytes that are not a TLS record; newer versions say ``record layer failure``."""

ALERT_HINTS = {
    "no application protocol": "it speaks none of the protocols offered by ALPN",
    "protocol version": "it requires another version of TLS",
    "unrecognized name": "it does not serve that name",
    "unknown ca": "it does not trust the client certificate",
    "certificate required": "it requires a client certificate: pass one as client_cert=",
    # Of the client's certificate, since it came from the server (RFC 8446 6.2).
    "bad certificate": "it does not accept the client certificate, or requires one (client_cert=)",
    "certificate unknown": "it does not accept the client certificate",
    "certificate expired": "the client certificate has expired",
    "certificate revoked": "the client certificate was revoked",
    "unsupported certificate": "it does not accept this kind of client certificate",
    "access denied": "it does not let the owner of the client certificate in",
}

_ALERT = re.compile(r"(?:sslv3|tlsv1|tlsv13|ssl/tls)(?: alert)? (.+)")


def tls_error(error: Exception, name: str) -> TlsError:
    """Map one of `HANDSHAKE_ERRORS`, raised during the handshake with ``name``."""
    if isinstance(error, ssl.SSLCertVerificationError):
        # OpenSSL ends its message with a full stop for names only.
        text = f"the certificate of {name} was refused: {error.verify_message.removesuffix('.').lower()}"
        return TlsError(text, hint=CERTIFICATE_HINTS.get(error.verify_code))
    if isinstance(error, (EndOfStream, ssl.SSLEOFError, ssl.SSLZeroReturnError)):
        return TlsError("the peer closed the connection during the TLS handshake", transient=True)
    if not isinstance(error, ssl.SSLError):
        return TlsError(f"the connection was lost during the TLS handshake{_cause(error)}", transient=True)
    text = _plain(error)
    if text in NO_TLS or "record layer failure" in text:
        return TlsError(f"the peer does not speak TLS ({text})", hint="is it a plain-text server, or the wrong port?")
    if alert := _ALERT.fullmatch(text):
        hint = ALERT_HINTS.get(alert[1])
        return TlsError(f"the peer sent the TLS alert {alert[1]!r}", hint=hint)
    hint = "the peer's version of TLS is too old" if text == "unsupported protocol" else None
    return TlsError(f"the TLS handshake failed: {text}", hint=hint)


def broken_tls(error: ssl.SSLError) -> TlsError:
    """Map an error that ended a TLS connection after the handshake.

    Under TLS 1.3 the client's handshake is complete before the server has seen the client's certificate, so an alert
    that refuses it comes later (RFC 8446 4.4.2.4 and 6.2).
    """
    text = _plain(error)
    if alert := _ALERT.fullmatch(text):
        message = f"the peer sent the TLS alert {alert[1]!r} after the handshake"
        return TlsError(message, hint=ALERT_HINTS.get(alert[1]))
    return TlsError(f"TLS failed after the handshake: {text}")


def _cause(error: BaseException) -> str:
    cause = error.__cause__
    if cause is None:
        return ""
    return f": {cause.message if isinstance(cause, ConnectError) else reason(cause)}"


def _plain(error: ssl.SSLError) -> str:
    """Strip the ssl module's decoration: ``[SSL: X_Y] x y (_ssl.c:1006)`` becomes ``x y``."""
    text = re.sub(r"^\[[^]]*] *| *\(_ssl\.c:\d+\)$", "", str(error.args[-1]) if error.args else "")
    return text.lower() or "unknown"
