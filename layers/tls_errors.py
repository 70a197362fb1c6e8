"""What a failed TLS handshake means, in one line."""

from __future__ import annotations

import re
import ssl

from anyio import BrokenResourceError, ClosedResourceError, EndOfStream

from ziggurat.services.errors import ConnectError, TlsError
from ziggurat.services.system_error import reason

__all__ = ["HANDSHAKE_ERRORS", "tls_error"]

HANDSHAKE_ERRORS = (ssl.SSLError, EndOfStream, BrokenResourceError, ClosedResourceError)
"""What a handshake on an anyio stream raises when the peer or the connection is at fault."""

CERTIFICATE_HINTS = {
    9: "check this machine's clock",
    10: "the server's operator has to renew it, unless this machine's clock is wrong",
    18: "a self-signed certificate is trusted only by a context that was told so (load_verify_locations)",
    19: "trust its authority with a context of your own (load_verify_locations)",
    20: "trust its authority with a context of your own (load_verify_locations)",
    62: "is this the right host? The dial verifies the name that it was asked for",
    64: "is this the right address? The dial verifies the address that it was asked for",
}
"""By OpenSSL's X509_V_ERR codes (x509_vfy.h): not yet valid, expired, self-signed (alone, in a chain), issuer unknown,
another name, another address."""

NO_TLS = frozenset({"wrong version number", "packet length too long", "http request", "unknown protocol"})
"""What OpenSSL says of bytes that are no TLS record; newer ones: `record layer failure`."""

ALERT_HINTS = {
    "no application protocol": "it does not speak the protocols that were offered (ALPN)",
    "protocol version": "it wants another version of TLS",
    "unrecognized name": "it does not serve that name",
    "unknown ca": "it does not trust this side's certificate",
    "certificate required": "it wants a client certificate: load_cert_chain on the context",
}

_ALERT = re.compile(r"(?:sslv3|tlsv1|tlsv13|ssl/tls)(?: alert)? (.+)")


def tls_error(error: Exception, name: str) -> TlsError:
    """Map one of `HANDSHAKE_ERRORS`, raised while shaking hands with ``name``."""
    if isinstance(error, ssl.SSLCertVerificationError):
        # OpenSSL's own sentence ends with a full stop for names, and without one for everything else.
        text = f"the certificate of {name} was refused: {error.verify_message.removesuffix('.').lower()}"
        return TlsError(text, hint=CERTIFICATE_HINTS.get(error.verify_code))
    if isinstance(error, (EndOfStream, ssl.SSLEOFError, ssl.SSLZeroReturnError)):
        return TlsError("the peer closed the connection during the TLS handshake", transient=True)
    if not isinstance(error, ssl.SSLError):
        return TlsError(f"the connection was lost during the TLS handshake{_cause(error)}", transient=True)
    text = _plain(error)
    if text in NO_TLS or "record layer failure" in text:
        return TlsError(f"the peer does not speak TLS ({text})", hint="is it a plain-text server, or another port?")
    if alert := _ALERT.fullmatch(text):
        hint = ALERT_HINTS.get(alert[1])
        return TlsError(f"the peer ended the TLS handshake with the alert {alert[1]!r}", hint=hint)
    hint = "the peer's TLS is older than this side accepts" if text == "unsupported protocol" else None
    return TlsError(f"the TLS handshake failed: {text}", hint=hint)


def _cause(error: BaseException) -> str:
    cause = error.__cause__
    if cause is None:
        return ""
    return f": {cause.message if isinstance(cause, ConnectError) else reason(cause)}"


def _plain(error: ssl.SSLError) -> str:
    """OpenSSL's words without the module's: ``[SSL: X_Y] x y (_ssl.c:1006)`` is ``x y``."""
    text = re.sub(r"^\[[^]]*] *| *\(_ssl\.c:\d+\)$", "", str(error.args[-1]) if error.args else "")
    return text.lower() or "unknown"
