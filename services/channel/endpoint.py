"""The configuration of a gRPC channel and its HTTP/2 connections."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import KW_ONLY, dataclass, field
from typing import Literal

from grpclib.encoding.base import CodecBase, StatusDetailsCodecBase

from ziggurat.services.backoff import Backoff
from ziggurat.services.channel.channel import Channel
from ziggurat.services.channel.connecting import Connecting
from ziggurat.services.channel.description import describe
from ziggurat.services.channel.options import MIB, ConnectionOptions, default_user_agent
from ziggurat.services.ledger import Ledger
from ziggurat.services.service import Connector
from ziggurat.services.uri import Uri
from ziggurat.services.validation import check_bool, check_count, check_seconds

__all__ = ["Endpoint"]

SCHEMES = ("http", "https", "unix", "unix-abstract")

WINDOWS = (2**16 - 1, 2**31 - 1)
"""Smallest and largest window in bytes: the initial window (RFC 9113 6.9.2) and the maximum (6.9.1)."""

FRAMES = (2**14, 2**24 - 1)
"""Smallest and largest maximum frame size in bytes (RFC 9113 4.2)."""

LISTS = (2**10, 2**24)
"""Smallest and largest maximum list of headers in bytes: a response of gRPC has a few hundred."""

_HEADER_VALUE = re.compile(r"[\x21-\x7e]+(?: [\x21-\x7e]+)*")


@dataclass(frozen=True, slots=True)
class Endpoint:
    """The target of calls and the settings of their connection; `connect` and `connect_lazy` create channels.

    Durations are in seconds, sizes in bytes; ``None`` switches a setting off. ``dataclasses.replace`` makes a changed
    copy.

    Args:
        target: an ``http://``, ``https://``, ``unix:`` or ``unix-abstract:`` address, as text or as a `Uri`. For https
            the stack must verify the host by TLS. The ``:authority`` of requests is its ``host:port``, without the
            port where it is the scheme's own: some gateways compare it with a bare name.
        call_timeout: deadline of calls that set none.
        connect_timeout: limit of a whole dial, from the top of the stack to the peer's SETTINGS.
        http2_timeout: limit from the open stream to the peer's SETTINGS (phase ``http2``).
        http2_keepalive_interval: time between HTTP/2 PINGs. TCP keepalive is a layer.
        http2_keepalive_timeout: PING ack timeout, after which the connection counts as lost.
        http2_keepalive_while_idle: whether to send PINGs while no call is running.
        stream_window: flow control window of one stream: how much the peer may send ahead of the reader.
        connection_window: flow control window of all streams together. It is given back as data arrives, so that one
            slow reader does not stop the others; see ``max_unread``.
        max_frame_size: maximum size of a received frame.
        max_header_list_size: maximum size of a received list of headers, as RFC 9113 10.5.1 counts it: names, values,
            and 32 bytes for each. A larger one ends its call with ``INTERNAL``.
        max_unread: how much of all streams together may lie unread before the server has to stop sending on all of
            them. A larger ``connection_window`` counts instead.
        max_message_size: maximum size of a received message after decompression. A larger one ends the call with
            ``RESOURCE_EXHAUSTED``.
        initial_message_size: the same until `Call.lift_limits`, for a peer that has to introduce itself first; until
            then it may send only 64 KiB ahead. ``None`` for no such limit.
        compression: ``"gzip"`` compresses sent messages, which the server must support. Compressed messages are always
            received.
        linger: how long a close waits for unsent data before it aborts; 0.0 for no wait.
        wait_for_ready: whether calls wait out the backoff and redial rather than fail with the last error. They still
            fail on an error that is not transient.
        backoff: delay between failed dials.
        user_agent: text put before ours in the ``user-agent`` header; ``None`` for ours alone.
        origin: ``http(s)://host[:port]`` for the ``:scheme`` and ``:authority`` of requests; ``None`` for the target.
            A port that the text names is sent, so that ``https://api.example:443`` keeps its ``:443``.
        codec: message codec, as in grpclib; ``None`` for protobuf.
        status_details_codec: codec of the status details, as in grpclib.
        on_dial: called on the event loop with the `Ledger` of each attempt, redials included: when the peer's SETTINGS
            have arrived, or when the dial failed or was cancelled (`Ledger.error` then says why). If it raises, the
            loop's exception handler is called.

    Raises:
        ValueError, TypeError: an argument is wrong; the message names it.
    """

    target: str | Uri
    _: KW_ONLY
    call_timeout: float | None = None
    connect_timeout: float | None = None
    http2_timeout: float | None = 10.0
    http2_keepalive_interval: float | None = None
    http2_keepalive_timeout: float = 20.0
    http2_keepalive_while_idle: bool = False
    stream_window: int = 4 * MIB
    connection_window: int = 4 * MIB
    max_frame_size: int = 256 * 1024
    max_message_size: int | None = 32 * MIB
    max_header_list_size: int = 64 * 1024
    max_unread: int = 64 * MIB
    initial_message_size: int | None = None
    compression: Literal["gzip"] | None = None
    linger: float = 2.0
    wait_for_ready: bool = False
    backoff: Backoff = field(default_factory=Backoff)
    user_agent: str | None = None
    origin: str | Uri | None = None
    codec: CodecBase | None = None
    status_details_codec: StatusDetailsCodecBase | None = None
    on_dial: Callable[[Ledger], None] | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "target", _uri("target", self.target, SCHEMES))
        if self.origin is not None:
            _uri("origin", self.origin, ("http", "https"))
        for name in ("call_timeout", "connect_timeout", "http2_timeout", "http2_keepalive_interval"):
            check_seconds(name, getattr(self, name))
        check_seconds("http2_keepalive_timeout", self.http2_keepalive_timeout, optional=False)
        check_seconds("linger", self.linger, zero=True, optional=False)
        _check_size("stream_window", self.stream_window, *WINDOWS)
        _check_size("connection_window", self.connection_window, *WINDOWS)
        _check_size("max_frame_size", self.max_frame_size, *FRAMES)
        _check_size("max_header_list_size", self.max_header_list_size, *LISTS)
        _check_size("max_unread", self.max_unread, WINDOWS[0], 2**62)
        # The length prefix has 32 bits.
        check_count("max_message_size", self.max_message_size, maximum=2**32 - 1, unit="bytes")
        check_count("initial_message_size", self.initial_message_size, maximum=2**32 - 1, unit="bytes")
        if self.compression not in (None, "gzip"):
            raise ValueError(f"compression must be 'gzip' or None, not {self.compression!r}")
        for name in ("http2_keepalive_while_idle", "wait_for_ready"):
            check_bool(name, getattr(self, name))
        _check_type("backoff", self.backoff, Backoff)
        if self.user_agent is not None:
            _check_type("user_agent", self.user_agent, str)
            if not _HEADER_VALUE.fullmatch(self.user_agent):
                raise ValueError(f"user_agent must be words of printable ASCII, not {self.user_agent!r}")
        if self.codec is not None:
            _check_type("codec", self.codec, CodecBase)
        if self.status_details_codec is not None:
            _check_type("status_details_codec", self.status_details_codec, StatusDetailsCodecBase)
        if self.on_dial is not None and not callable(self.on_dial):
            raise TypeError(f"on_dial must be a function of the Ledger, not {self.on_dial!r}")

    def connect(self, connector: Connector) -> Connecting:
        """Dial now: ``await`` the result or use ``async with`` to get a `Channel`.

        Makes one attempt, regardless of ``wait_for_ready``, as part of the dial that the caller has open
        (``with dial(uri)``), if any. Redials are dials of their own.

        Raises:
            TypeError: the connector is not callable.
            ConnectError: when awaited or entered: the dial failed.
            RuntimeError: when awaited or entered: there is no running asyncio loop.
        """
        _check_connector(connector)
        return Connecting(self, connector)

    def connect_lazy(self, connector: Connector) -> Channel:
        """Return a `Channel` that dials at the first call.

        Raises:
            TypeError: the connector is not callable.
            RuntimeError: there is no running asyncio loop.
        """
        _check_connector(connector)
        return Channel(self, connector)

    def describe(self, connector: Connector) -> str:
        """Describe in plain text what a dial will do, with warnings about what will fail or has no effect."""
        _check_connector(connector)
        return describe(self, connector)

    @property
    def uri(self) -> Uri:
        """The target, parsed."""
        return _uri("target", self.target, SCHEMES)

    @property
    def origin_parts(self) -> tuple[str, str]:
        """The ``:scheme`` and ``:authority`` of requests."""
        if self.origin is None:
            return "http" if self.uri.is_unix else self.uri.scheme, self.uri.http_authority
        uri = _uri("origin", self.origin, SCHEMES)
        authority = uri.http_authority
        if isinstance(self.origin, str) and re.search(r":\d+/?$", self.origin):
            authority = re.sub(r"%[^]]*", "", uri.authority)
        return uri.scheme, authority

    @property
    def connection_options(self) -> ConnectionOptions:
        """The settings of one HTTP/2 connection."""
        ours = default_user_agent()
        return ConnectionOptions(
            stream_window=self.stream_window,
            connection_window=self.connection_window,
            max_frame_size=self.max_frame_size,
            max_message_size=self.max_message_size,
            max_header_list_size=self.max_header_list_size,
            max_unread=self.max_unread,
            initial_message_size=self.initial_message_size,
            compression=self.compression,
            linger=self.linger,
            http2_keepalive_interval=self.http2_keepalive_interval,
            http2_keepalive_timeout=self.http2_keepalive_timeout,
            http2_keepalive_while_idle=self.http2_keepalive_while_idle,
            user_agent=ours if self.user_agent is None else f"{self.user_agent} {ours}",
        )


def _uri(name: str, value: str | Uri, schemes: tuple[str, ...]) -> Uri:
    _check_type(name, value, (str, Uri))
    try:
        uri = value if isinstance(value, Uri) else Uri.parse(value)
    except ValueError as error:
        raise ValueError(f"{name}: {error}") from error
    if uri.scheme not in schemes:
        raise ValueError(f"{name} must be {', '.join(schemes[:-1])} or {schemes[-1]}, not {str(uri)!r}")
    return uri


def _check_type(name: str, value: object, kind: type | tuple[type, ...]) -> None:
    if not isinstance(value, kind):
        kinds = kind if isinstance(kind, tuple) else (kind,)
        raise TypeError(f"{name} must be {' or '.join(k.__name__ for k in kinds)}, not {value!r}")


def _check_size(name: str, value: int, least: int, most: int) -> None:
    check_count(name, value, minimum=least, maximum=most, unit="bytes", optional=False)


def _check_connector(connector: object) -> None:
    if not callable(connector):
        raise TypeError(f"the connector must be an async function from a Uri to a byte stream, not {connector!r}")
