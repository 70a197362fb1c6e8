"""Every error of a dial, in one tree.

::

    OSError
     +-- ConnectError                 any failed dial
          +-- ConnectTimeout          a limit ran out; also a TimeoutError
          +-- ResolveError            dns: the name has no address
          +-- ConnectRefused          tcp, unix: nobody listens; also a ConnectionRefusedError
          +-- ProxyError              the proxy's fault, or its word
          |    +-- ProxyProtocolError   it does not speak SOCKS5, or was cut off
          |    +-- ProxyAuthError       it does not take our credentials
          |    +-- ProxyRefused         it answered with a reply other than 00
          +-- TlsError                tls: no trust, no name, no protocol in common
          +-- Http2Error              http2: the peer does not speak it
          +-- LimitExceeded           admission: turned away rather than queued
    RuntimeError
     +-- ChannelClosed                a call after close()

Raise one with a message that says what happened; the phase and the dial around it fill in where, through what and
after how long. Wrong configuration is a ``ValueError`` or ``TypeError`` at construction, never one of these.
"""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from ziggurat.services.ledger import Ledger
    from ziggurat.services.uri import Uri

__all__ = [
    "ChannelClosed",
    "ConnectError",
    "ConnectRefused",
    "ConnectTimeout",
    "Http2Error",
    "LimitExceeded",
    "ProxyAuthError",
    "ProxyError",
    "ProxyProtocolError",
    "ProxyRefused",
    "ResolveError",
    "TlsError",
]

E = TypeVar("E", bound=BaseException)

MAX_MESSAGE = 500
"""Characters. A message may quote a hostile peer: it stays one line of bounded length."""


class ConnectError(OSError):
    """A dial failed.

    Attributes:
        message: what happened, without where and when.
        hint: what to do about it, or ``None``.
        phase: the phase that failed, as in the ledger; ``None`` outside of one.
        target: where the dial was to go; ``None`` before a dial saw the error.
        via: the proxy or address that the phase dealt with; ``None`` when it was the target itself.
        elapsed: seconds from the start of the dial to the failure.
        ledger: all phases of the dial; ``None`` before a dial saw the error.
        sent_to_target: whether a byte had gone to the target (through an open tunnel, too).
        transient: whether the same dial may succeed later without a change.
    """

    _transient = True

    def __init__(self, message: str, *, hint: str | None = None, transient: bool | None = None) -> None:
        super().__init__(message)
        self.message = one_line(message)
        self.hint = None if hint is None else one_line(hint)
        self.transient = self._transient if transient is None else transient
        self.phase: str | None = None
        self.target: Uri | None = None
        self.via: str | None = None
        self.elapsed: float | None = None
        self.ledger: Ledger | None = None
        self.sent_to_target = False

    def __str__(self) -> str:
        """One line: who failed at what, through what, after how long, and what to do."""
        where = " ".join(
            part
            for part in (
                f"{self.target}:" if self.target is not None else "",
                self.phase or "",
                f"via {self.via}" if self.via is not None else "",
            )
            if part
        )
        when = f" after {self.elapsed:.2f} s" if self.elapsed is not None else ""
        story = f" ({self.ledger})" if self.ledger is not None and self.ledger.phases else ""
        # A unix path, or the name of a user's phase, may hold anything.
        text = fold(f"{where} failed{when}: {self.message}{story}") if where else self.message
        return f"{text}; {self.hint}" if self.hint else text

    def __reduce__(self) -> tuple[object, ...]:
        # Every waiter of a shared dial gets a copy of its own; OSError's own reduce would call __init__ again.
        return _rebuild, (type(self), self.args), self.__dict__


def _rebuild(cls: type[ConnectError], args: tuple[object, ...]) -> ConnectError:
    error = cls.__new__(cls, *args)
    error.args = args  # where __init__ is overridden, OSError leaves them to it
    return error


def fold(text: str) -> str:
    """Fold white space and unprintable characters, so that no peer can forge a second log line."""
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in " ".join(text.split()))


def one_line(text: str) -> str:
    """`fold` the text, and cut it at `MAX_MESSAGE` characters."""
    shown = fold(" ".join(text.split())[: MAX_MESSAGE + 1])
    return shown if len(shown) <= MAX_MESSAGE else shown[: MAX_MESSAGE - 3] + "..."


def copy_error(error: E) -> E:
    """Return a copy of ``error`` with the same args, attributes and cause, and without a traceback.

    For an error with several waiters: each gets its own exception, since raising one adds to its traceback.
    """
    try:
        twin = copy.copy(error)
    except Exception:  # __init__ takes something else than the args
        twin = type(error).__new__(type(error), *error.args)
        twin.__dict__.update(error.__dict__)
    if notes := getattr(error, "__notes__", None):
        twin.__notes__ = list(notes)
    twin.__cause__ = error.__cause__
    twin.__suppress_context__ = error.__suppress_context__
    return twin


class ConnectTimeout(ConnectError, TimeoutError):
    """A limit ran out. ``limit`` is in seconds; ``name`` tells whose limit it was."""

    def __init__(self, limit: float, name: str, message: str | None = None) -> None:
        super().__init__(message or f"the limit {name!r} of {limit:g} s ran out")
        self.limit = limit
        self.name = name


class ResolveError(ConnectError):
    """The name could not be looked up."""


class ConnectRefused(ConnectError, ConnectionRefusedError):
    """Nobody listens there."""


class ProxyError(ConnectError):
    """The proxy failed, or said no.

    Attributes:
        reply_code: the code of its reply (RFC 1928 6, Tor's F0 to F7), or ``None`` when it came to none.
    """

    def __init__(
        self,
        message: str,
        *,
        reply_code: int | None = None,
        hint: str | None = None,
        transient: bool | None = None,
    ) -> None:
        super().__init__(message, hint=hint, transient=transient)
        self.reply_code = reply_code


class ProxyProtocolError(ProxyError):
    """What came is not SOCKS5, or ended too early."""

    _transient = False


class ProxyAuthError(ProxyError):
    """The proxy wants other credentials, or a method that was not offered."""

    _transient = False


class ProxyRefused(ProxyError):
    """The proxy answered the request with a reply other than 00."""


class TlsError(ConnectError):
    """The TLS handshake failed."""

    _transient = False


class Http2Error(ConnectError):
    """The peer does not speak HTTP/2."""

    _transient = False


class LimitExceeded(ConnectError):
    """Turned away at a limit rather than queued."""


class ChannelClosed(RuntimeError):
    """A call was made on a channel after ``close()``."""
