"""Describe in plain text what a dial will do, as far as can be known without dialling."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import fields
from typing import TYPE_CHECKING

from ziggurat.services.remark import remarks_of
from ziggurat.services.service import Connector
from ziggurat.services.tcp import TcpConnector
from ziggurat.services.unix import UnixConnector

if TYPE_CHECKING:
    from ziggurat.services.channel.endpoint import Endpoint

__all__ = ["describe"]

PATH = "hand-over if the outermost stream is exactly a TransportStream or a TlsStream, else pump; known once it is open"


def describe(endpoint: Endpoint, connector: Connector) -> str:
    """Return the target, the stack (outermost first), the path into HTTP/2, the settings and the warnings.

    What the order of the layers means is said by those that know: see `Remarking`.
    """
    stack = _stack_lines(connector)
    scheme, authority = endpoint.origin_parts
    lines = [f"dial {endpoint.uri} (request origin {scheme}://{authority})", "stack, outermost first:"]
    lines += [f"  {line}" for line in stack]
    lines += ["path into HTTP/2:", f"  {PATH}", "settings:"]
    lines += [f"  {line}" for line in _settings(endpoint)]
    remarks = remarks_of(connector, endpoint.uri)
    if meanings := [remark.text for remark in remarks if not remark.warning]:
        lines += ["what the order means:", *(f"  {line}" for line in meanings)]
    warnings = [remark.text for remark in remarks if remark.warning] + list(_warnings(endpoint, connector, stack))
    if warnings:
        lines += ["warnings:", *(f"  {line}" for line in warnings)]
    return "\n".join(lines)


def _stack_lines(connector: Connector) -> list[str]:
    # A Stack's str has one layer per line; a function's repr is mostly its address.
    name = getattr(connector, "__qualname__", None)
    return [name] if isinstance(name, str) else str(connector).splitlines() or [repr(connector)]


def _enters_tls(stack: list[str]) -> bool:
    # This package cannot import the layers, so it recognises them by name.
    return any("tls" in line.lower() or "ssl" in line.lower() for line in stack)


def _settings(endpoint: Endpoint) -> Iterator[str]:
    for entry in fields(endpoint):
        value = getattr(endpoint, entry.name)
        if entry.name == "user_agent":
            value = endpoint.connection_options.user_agent
        if entry.name == "origin" and value is not None:
            value = str(value)
        if entry.name != "target":
            given_back = " (given back as data arrives, up to max_unread)" if entry.name == "connection_window" else ""
            yield f"{entry.name}={value!r}{given_back}"


def _warnings(endpoint: Endpoint, connector: Connector, stack: list[str]) -> Iterator[str]:
    uri, leaf = endpoint.uri, getattr(connector, "leaf", connector)
    defaults = {entry.name: entry.default for entry in fields(endpoint)}
    if uri.scheme == "https" and not _enters_tls(stack):
        yield f"will fail: https, but no layer seems to verify {uri.host!r} by TLS; add a TlsLayer"
    if uri.is_unix and isinstance(leaf, TcpConnector):
        yield "will fail: TcpConnector cannot dial a unix socket; use SocketConnector"
    if not uri.is_unix and isinstance(leaf, UnixConnector) and len(stack) == 1:
        yield f"will fail: UnixConnector cannot dial {uri}; use SocketConnector"
    if endpoint.http2_keepalive_interval is None:
        for name in ("http2_keepalive_timeout", "http2_keepalive_while_idle"):
            if getattr(endpoint, name) != defaults[name]:
                yield f"no effect: {name}, since http2_keepalive_interval is None"
    if endpoint.connect_timeout is not None:
        set_on_purpose = endpoint.http2_timeout not in (None, defaults["http2_timeout"])
        if set_on_purpose and (endpoint.http2_timeout or 0.0) >= endpoint.connect_timeout:
            yield "no effect: http2_timeout, since connect_timeout runs out first"
    elif endpoint.http2_timeout is None:
        yield "may hang: no limit on the wait for the peer's SETTINGS; set http2_timeout or connect_timeout"
    if endpoint.wait_for_ready and endpoint.call_timeout is None:
        yield "may hang: wait_for_ready waits without limit in a call without a deadline; set call_timeout"
    if endpoint.max_unread != defaults["max_unread"] and endpoint.max_unread <= endpoint.connection_window:
        yield "no effect: max_unread up to connection_window, which the server may send ahead in any case"
    if endpoint.stream_window > endpoint.connection_window:
        yield "no effect: stream_window beyond connection_window, which all streams share"
    if endpoint.max_message_size is None:
        yield "may exhaust memory: max_message_size is None, and a message may announce 4 GiB"
