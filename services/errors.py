"""Every error of a dial, in one tree.

::

    OSError
     +-- ConnectError                 any failed dial
          +-- ConnectTimeout          a limit ran out; also a TimeoutError
          +-- ResolveError            dns: the name has no address
          +-- ConnectRefused          tcp, unix: nothing listens there; also a ConnectionRefusedError
          +-- ProxyError              the proxy failed, or refused
          |    +-- ProxyProtocolError   it does not speak the proxy's protocol, or the connection was cut off
          |    +-- ProxyAuthError       it does not accept our credentials
          |    +-- ProxyRefused         its reply code is not 00, or its HTTP status not 2xx
          +-- TlsError                tls: certificate, name or protocol not accepted
          +-- Http2Error              http2: the peer does not speak it
          +-- LimitExceeded           admission: rejected rather than queued
          |    +-- CircuitOpen          a circuit breaker is open
          +-- RouteRefused            a route or a filter does not let the target through
          +-- NoEndpoints             a balance has nothing to dial
          +-- AllFailed               every attempt of a retry, or every branch of a race
    RuntimeError
     +-- ChannelClosed                a call after close()
     +-- LeakError                    a leak guard saw a way around the proxy

Raise one with a message that says what happened; the enclosing phase and dial fill in where, through what and after how
long. Wrong configuration is a ``ValueError`` or ``TypeError`` at construction, never one of these.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from ziggurat.services.ledger import Ledger
    from ziggurat.services.uri import Uri

__all__ = [
    "AllFailed",
    "ChannelClosed",
    "CircuitOpen",
    "ConnectError",
    "ConnectRefused",
    "ConnectTimeout",
    "Http2Error",
    "LeakError",
    "LimitExceeded",
    "NoEndpoints",
    "ProxyAuthError",
    "ProxyError",
    "ProxyProtocolError",
    "ProxyRefused",
    "ResolveError",
    "RouteRefused",
    "TlsError",
]

E = TypeVar("E", bound=BaseException)

MAX_MESSAGE = 500
"""Characters. A message may quote a hostile peer, so its length is bounded."""


class ConnectError(OSError):
    """A dial failed.

    Attributes:
        message: what happened, without where and when.
        hint: what to do about it, or ``None``.
        phase: the phase that failed, as in the ledger; ``None`` if it failed outside of any.
        target: the dial's target; ``None`` until the error leaves a dial.
        via: the proxy or address that the phase dealt with; ``None`` for the target itself.
        elapsed: seconds from the start of the dial to the failure.
        ledger: all phases of the dial; ``None`` until the error leaves a dial.
        sent_to_target: whether a byte was sent to the target, directly or through a tunnel.
        transient: whether the same dial may succeed later, with nothing changed.
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
        """One line: target, phase, via, seconds, message, hint, and the phases that took the time."""
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
        text = f"{self.message}; {self.hint}" if self.hint else self.message
        # A unix path, or the name of a user's phase, may contain anything.
        return fold(f"{where} failed{when}: {text}{self._waterfall()}") if where else text

    def _waterfall(self) -> str:
        phases = [] if self.ledger is None else self.ledger.phases
        spent = [f"{entry.name} {entry.elapsed:.2f}" for entry in phases if entry.elapsed is not None]
        spent = [each for each in spent if not each.endswith(" 0.00")]
        if not spent or (self.elapsed is not None and spent == [f"{self.phase} {self.elapsed:.2f}"]):
            return ""  # no phase took long, or the failed one took all of the time
        return f" ({', '.join(spent)} s)"

    def __reduce__(self) -> tuple[object, ...]:
        # OSError's own __reduce__ would call __init__ again, with the args alone.
        return _rebuild, (type(self), self.args), self.__dict__


def _rebuild(cls: type[ConnectError], args: tuple[object, ...]) -> ConnectError:
    error = cls.__new__(cls, *args)
    error.args = args  # OSError.__new__ does not set them for a subclass with its own __init__
    return error


def fold(text: str) -> str:
    """Collapse white space and escape unprintable characters, so that no peer can forge a second log line."""
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in " ".join(text.split()))


def one_line(text: str) -> str:
    """`fold` the text and truncate it to `MAX_MESSAGE` characters."""
    shown = fold(" ".join(text.split())[: MAX_MESSAGE + 1])
    return shown if len(shown) <= MAX_MESSAGE else shown[: MAX_MESSAGE - 3] + "..."


def copy_error(error: E) -> E:
    """Return a copy of ``error`` with the same args, attributes and cause, and without a traceback.

    For an error that several waiters raise: raising adds to the traceback, so each needs its own exception.
    """
    try:
        twin = copy.copy(error)
    except Exception:  # its __init__ does not take its args
        twin = type(error).__new__(type(error), *error.args)
        twin.__dict__.update(error.__dict__)
    if notes := getattr(error, "__notes__", None):
        twin.__notes__ = list(notes)
    twin.__cause__ = error.__cause__
    twin.__suppress_context__ = error.__suppress_context__
    return twin


class ConnectTimeout(ConnectError, TimeoutError):
    """A limit ran out. ``limit`` is in seconds; ``name`` is the limit's name."""

    def __init__(self, limit: float, name: str, message: str | None = None) -> None:
        super().__init__(message or f"the limit {name!r} of {limit:g} s ran out")
        self.limit = limit
        self.name = name


class ResolveError(ConnectError):
    """The name could not be resolved."""


class ConnectRefused(ConnectError, ConnectionRefusedError):
    """Nothing listens there."""


class ProxyError(ConnectError):
    """The proxy failed, or refused.

    Attributes:
        reply_code: the code of its reply (RFC 1928 6, Tor's F0 to F7, SOCKS4's 5B to 5D); ``None`` if it sent none.
        status: the status of its HTTP response; ``None`` if it sent none.
    """

    def __init__(
        self,
        message: str,
        *,
        reply_code: int | None = None,
        status: int | None = None,
        hint: str | None = None,
        transient: bool | None = None,
    ) -> None:
        super().__init__(message, hint=hint, transient=transient)
        self.reply_code = reply_code
        self.status = status


class ProxyProtocolError(ProxyError):
    """The proxy does not speak the protocol that the layer does, or the connection ended too early."""

    _transient = False


class ProxyAuthError(ProxyError):
    """The proxy wants other credentials, or an authentication method that was not offered."""

    _transient = False


class ProxyRefused(ProxyError):
    """The proxy answered with a reply code other than 00, or an HTTP status other than 2xx."""


class TlsError(ConnectError):
    """The TLS handshake failed."""

    _transient = False


class Http2Error(ConnectError):
    """The peer does not speak HTTP/2."""

    _transient = False


class LimitExceeded(ConnectError):
    """A limit rejected the dial rather than queue it.

    Attributes:
        retry_after: seconds until it may let a dial through; ``None`` if that is not known.
    """

    def __init__(
        self,
        message: str,
        retry_after: float | None = None,
        *,
        hint: str | None = None,
        transient: bool | None = None,
    ) -> None:
        super().__init__(message, hint=hint, transient=transient)
        self.retry_after = retry_after


class CircuitOpen(LimitExceeded):
    """A circuit breaker is open. ``retry_after`` is the time in seconds until it lets a probe through."""

    def __init__(self, message: str, retry_after: float, *, hint: str | None = None) -> None:
        super().__init__(message, retry_after, hint=hint)


class RouteRefused(ConnectError):
    """A route or a filter does not let the target through. ``rule`` is what decided; ``None`` if no rule fits."""

    _transient = False

    def __init__(
        self, message: str, rule: str | None = None, *, hint: str | None = None, transient: bool | None = None
    ) -> None:
        super().__init__(message, hint=hint, transient=transient)
        self.rule = rule


class NoEndpoints(ConnectError):
    """A balance had no endpoint to dial, until its bound."""


class AllFailed(ConnectError):
    """Every attempt of a retry, or every branch of a race, failed.

    Attributes:
        errors: the error of each, in the order in which they failed. The last one is also the ``__cause__``.
    """

    def __init__(
        self, message: str, errors: Sequence[ConnectError], *, hint: str | None = None, transient: bool | None = None
    ) -> None:
        if transient is None:
            transient = any(error.transient for error in errors)
        super().__init__(message, hint=hint, transient=transient)
        self.errors = tuple(errors)


class ChannelClosed(RuntimeError):
    """A call was made on a channel after ``close()``."""


class LeakError(RuntimeError):
    """A look-up or a connection that a leak guard does not allow.

    A ``RuntimeError``, so that neither a retry nor an ``except OSError`` swallows it.

    Attributes:
        address: where it went: ``host:port``, a name, a path, or a program.
        line: where in the program, as ``file:line``.
    """

    def __init__(self, message: str, address: str, line: str) -> None:
        super().__init__(message)
        self.address = address
        self.line = line
