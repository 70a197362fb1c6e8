"""Log dials: ``dial.started``, then exactly one of ``dial.connected`` and ``dial.failed``.

::

    event           level    keys
    dial.started    info     dial, target
    dial.connected  info     dial, target, via, elapsed
    dial.failed     warning  dial, target, via, phase, elapsed, error

``dial`` is the ledger's id, the same in all layers of a dial. ``via`` lists the proxies on the way, in order, joined by
`` > ``; after a failure at a proxy, that proxy; ``None`` for a direct dial. ``elapsed`` is in seconds since the start
of the dial.

Below an `Endpoint` a dial is connected when the peer's HTTP/2 SETTINGS have arrived, otherwise when the dial ends.
Failures above this layer until then are logged here, too.

A dial that is cut off by a limit above this layer, or by the deadline of a call, is logged as ``dial.failed`` with the
error of that limit. One that is cancelled for another reason has ``error="cancelled"``, at level info: the caller no
longer wanted it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial

from anyio import get_cancelled_exc_class
from anyio.abc import ByteStream

from ziggurat.layers.events import EventLogger, Level, write_event
from ziggurat.services.dial import dial
from ziggurat.services.errors import ConnectError, ConnectTimeout, ProxyError, one_line
from ziggurat.services.ledger import Ledger
from ziggurat.services.limit import expired_limit
from ziggurat.services.service import Connector
from ziggurat.services.stream import closing_on_error
from ziggurat.services.uri import Uri

__all__ = ["EventLogger", "Logging", "LoggingLayer"]

MASK = "***"


def _warning(error: BaseException) -> Level:
    return "warning"


@dataclass(frozen=True, slots=True)
class LoggingLayer:
    """Wraps a connector in `Logging`.

    Args:
        logger: a structlog logger; ``None`` for ``structlog.get_logger("ziggurat")``, or the standard library's logger
            of that name while structlog is not configured.
        mask_target: ``True`` to write ``***`` for the target, or a function that returns the text to write. The error
            is then reduced to its type, limit and reply code, since messages quote names, addresses and certificates.

        failure_level: gives the level of a ``dial.failed`` for its error, e.g. ``debug`` for what is logged elsewhere.
            It is not asked about a dial that the caller cancelled.

    Raises:
        TypeError: ``mask_target`` is neither, or ``failure_level`` is not a function.
    """

    logger: EventLogger | None = field(default=None, repr=False)
    mask_target: bool | Callable[[Uri], str] = False
    failure_level: Callable[[BaseException], Level] = field(default=_warning, repr=False)

    def __post_init__(self) -> None:
        if not callable(self.failure_level):
            raise TypeError(f"failure_level must be a function of the error, not {self.failure_level!r}")
        if not isinstance(self.mask_target, bool) and not callable(self.mask_target):
            raise TypeError(f"mask_target must be a bool or a function of the Uri, not {self.mask_target!r}")

    def layer(self, inner: Connector, /) -> Connector:
        return Logging(self, inner)


@dataclass(frozen=True, slots=True)
class Logging:
    """Passes dials through and logs their events. An exception in the logger does not fail the dial."""

    config: LoggingLayer
    inner: Connector

    async def __call__(self, uri: Uri, /) -> ByteStream:
        """Dial through ``inner``; its exceptions pass through unchanged."""
        logger = self.config.logger
        with dial(uri) as current:
            ledger = current.ledger
            write_event(logger, "info", "dial.started", dial=ledger.id, target=self._shown(uri))
            try:
                stream = await self.inner(uri)
            except BaseException as error:
                self._failed(uri, ledger, error)
                raise
            async with closing_on_error(stream):
                if current.owner:  # nothing above can still fail
                    self._connected(uri, ledger)
                else:
                    current.on_outcome(partial(self._ended, uri, ledger))
                return current.established(stream)

    def _ended(self, uri: Uri, ledger: Ledger, error: BaseException | None) -> None:
        if error is None:
            self._connected(uri, ledger)
        else:
            self._failed(uri, ledger, error)

    def _connected(self, uri: Uri, ledger: Ledger) -> None:
        target = self._shown(uri)
        via = self._harmless(uri, ledger, target, _proxies(ledger))
        elapsed = round(ledger.elapsed, 3)
        write_event(
            self.config.logger, "info", "dial.connected", dial=ledger.id, target=target, via=via, elapsed=elapsed
        )

    def _failed(self, uri: Uri, ledger: Ledger, error: BaseException) -> None:
        target = self._shown(uri)
        if isinstance(error, get_cancelled_exc_class()):
            given_up = ledger.error  # by a call's deadline
            error = given_up if isinstance(given_up, ConnectTimeout) else expired_limit() or error
        cancelled = isinstance(error, get_cancelled_exc_class())
        phase, via = _where(ledger, error)
        if cancelled:
            text = "cancelled"
        else:
            text = _story(error) if self.config.mask_target is False else self._masked(uri, ledger, error)
        level: Level = "info" if cancelled else self.config.failure_level(error)
        write_event(
            self.config.logger,
            level,
            "dial.failed",
            dial=ledger.id,
            target=target,
            via=self._harmless(uri, ledger, target, via),
            phase=phase,
            elapsed=round(ledger.elapsed, 3),
            error=text,
        )

    def _shown(self, uri: Uri) -> str:
        mask = self.config.mask_target
        if isinstance(mask, bool):
            return MASK if mask else str(uri)
        try:
            return one_line(str(mask(uri)))
        except Exception:
            return MASK  # must neither fail the dial nor reveal the target

    def _masked(self, uri: Uri, ledger: Ledger, error: BaseException) -> str:
        kind = type(error).__name__
        if isinstance(error, ConnectTimeout):
            text = f"{kind}: the limit {error.name!r} of {error.limit:g} s ran out"
        elif isinstance(error, ProxyError) and error.reply_code is not None:
            text = f"{kind}: reply {error.reply_code:#04x}"
        else:
            return kind
        return kind if _tells(text, uri, ledger.target) else text

    def _harmless(self, uri: Uri, ledger: Ledger, target: str, via: str | None) -> str | None:
        # A phase's via may be the target, e.g. the name that TLS verified.
        hidden = self.config.mask_target is not False and via is not None and _tells(via, uri, ledger.target)
        return target if hidden else via


def _proxies(ledger: Ledger) -> str | None:
    entries = [entry for entry in ledger.phases if entry.name.startswith("proxy.") and entry.via]
    # Where several branches or attempts were made, those that led to the stream; after a failure, all of them.
    used = [entry for entry in entries if not entry.discarded] or entries
    passed = dict.fromkeys(entry.via for entry in used if entry.via)
    return " > ".join(passed) or None


def _where(ledger: Ledger, error: BaseException) -> tuple[str | None, str | None]:
    if isinstance(error, ConnectError):
        phase, via = error.phase, error.via
    else:
        ended = next((entry for entry in reversed(ledger.phases) if entry.outcome != "ok"), None)
        phase, via = (None, None) if ended is None else (ended.name, ended.via)
    # TLS that verified another name for the target speaks with the target.
    ends = {entry.via for entry in ledger.phases if entry.host is not None and _tells(entry.host, ledger.target)}
    if via is None or via == ledger.target.host or via in ends:
        return phase, _proxies(ledger)
    return phase, via


def _story(error: BaseException) -> str:
    # Not str(error): phase, via and elapsed have their own keys.
    text = error.message if isinstance(error, ConnectError) else str(error)
    hint = error.hint if isinstance(error, ConnectError) else None
    return one_line(f"{type(error).__name__}: {text}{f'; {hint}' if hint else ''}".removesuffix(": "))


def _tells(text: str, *hidden: Uri) -> bool:
    # Bare, as in a tls phase: without a zone id or a trailing dot.
    names = (uri.path or uri.host.partition("%")[0].removesuffix(".") for uri in hidden)
    return any(name.lower() in text.lower() for name in names)
