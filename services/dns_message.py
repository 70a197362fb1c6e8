"""One look-up over DNS, sans-IO: the questions for a name's addresses, and what the answers say.

DNS over a stream puts two bytes of length before each message (RFC 1035 4.2.2). Both questions, for IPv6 and for IPv4,
leave in one write, and the answers may come in any order (RFC 7766 6.2.1.1). The messages themselves are dnspython's.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import cast

import dns.exception
import dns.flags
import dns.message
import dns.name
import dns.rcode
import dns.rdatatype

from ziggurat.services.errors import ResolveError

__all__ = ["MAX_ADDRESSES", "MAX_ANSWER", "DnsLookup"]

MAX_ANSWER = 16 * 1024
"""Bytes of one answer. Two hundred addresses take 6 KiB; a length beyond this is a peer that does not speak DNS."""

MAX_ADDRESSES = 32
"""Addresses of each family that are used. The race starts one every quarter of a second."""

MIN_ANSWER = 12
"""Bytes of a message's header (RFC 1035 4.1.1)."""

KINDS = (dns.rdatatype.AAAA, dns.rdatatype.A)
"""IPv6 first, as the system's order mostly has it (RFC 6724 2.1)."""

TEMPORARY = frozenset({dns.rcode.SERVFAIL})
"""Answers that may be other ones later; the rest is what the server knows, or does for us."""


class DnsLookup:
    """The questions for a name, and the answers so far.

    Args:
        host: the name, in ASCII.

    Raises:
        ResolveError: it is no name that DNS can express. Not transient.
    """

    def __init__(self, host: str) -> None:
        self._host = host
        try:
            name = dns.name.from_text(host)
        except dns.exception.DNSException as error:
            raise ResolveError(f"{host}: {error}", hint="check the name", transient=False) from error
        self._asked = {kind: dns.message.make_query(name, kind) for kind in KINDS}
        if len({query.id for query in self._asked.values()}) < len(KINDS):  # once in 65536
            self._asked[KINDS[0]].id ^= 1
        self._waiting = {query.id: kind for kind, query in self._asked.items()}
        self._found: dict[int, list[str]] = {}
        self._failed: list[ResolveError] = []
        self._buffer = b""

    @property
    def questions(self) -> bytes:
        """All questions, to be sent at once."""
        messages = [query.to_wire() for query in self._asked.values()]
        return b"".join(len(wire).to_bytes(2, "big") + wire for wire in messages)

    @property
    def done(self) -> bool:
        """Whether every question is answered."""
        return not self._waiting

    @property
    def found(self) -> bool:
        """Whether an answer had an address."""
        return any(self._found.values())

    def receive(self, data: bytes) -> None:
        """Take in received bytes.

        Raises:
            ResolveError: they are no answer to these questions.
        """
        self._buffer += data
        while len(self._buffer) >= 2 and self._waiting:
            size = int.from_bytes(self._buffer[:2], "big")
            if not MIN_ANSWER <= size <= MAX_ANSWER:
                text = f"{self._host}: an answer of {size} bytes ({MIN_ANSWER} to {MAX_ANSWER})"
                raise ResolveError(text, hint="is this a name server that speaks DNS over TCP?", transient=False)
            if len(self._buffer) < 2 + size:
                return
            wire, self._buffer = self._buffer[2 : 2 + size], self._buffer[2 + size :]
            self._read(wire)

    def end(self, reason: str) -> None:
        """Give up on the questions without an answer, since the server ``reason``."""
        if self._waiting:
            self._waiting.clear()
            self._failed.append(ResolveError(f"{self._host}: the name server {reason}", transient=True))

    def addresses(self) -> list[str]:
        """Return the addresses, IPv6 first.

        Raises:
            ResolveError: there is none. It is transient if the server could not tell for one of the families.
        """
        if self.found:
            return [address for kind in KINDS for address in self._found.get(kind, [])]
        if not self._failed:
            raise ResolveError(f"{self._host}: no address", hint="the name exists, but not for this", transient=False)
        raise max(self._failed, key=lambda error: error.transient)

    def _read(self, wire: bytes) -> None:
        try:
            answer = dns.message.from_wire(wire)
        except Exception as error:  # dnspython's own, and what a hostile message brings out of it
            text = f"{self._host}: an answer that is not DNS ({type(error).__name__})"
            raise ResolveError(text, hint="is this a name server that speaks DNS over TCP?", transient=False) from error
        kind = self._waiting.get(answer.id)
        if kind is None or not self._asked[kind].is_response(answer):
            raise ResolveError(f"{self._host}: the answer is to another question", transient=False)
        del self._waiting[answer.id]
        try:
            self._found[kind] = self._addresses_of(kind, answer)
        except ResolveError as error:
            self._failed.append(error)

    def _addresses_of(self, kind: dns.rdatatype.RdataType, answer: dns.message.Message) -> list[str]:
        code = answer.rcode()
        if code == dns.rcode.NXDOMAIN:
            raise ResolveError(f"{self._host}: no such name (NXDOMAIN)", hint="check the name", transient=False)
        if code != dns.rcode.NOERROR:
            text = f"{self._host}: the name server answered {dns.rcode.to_text(code)}"
            raise ResolveError(text, transient=code in TEMPORARY)
        if answer.flags & dns.flags.TC:
            raise ResolveError(f"{self._host}: the answer was truncated, over a stream", transient=False)
        assert isinstance(answer, dns.message.QueryMessage)
        try:
            records = cast("Iterable[object]", answer.resolve_chaining().answer or ())
        except dns.exception.DNSException as error:  # a chain of aliases that is too long
            raise ResolveError(f"{self._host}: {error}", transient=False) from error
        return [str(record) for record in records][:MAX_ADDRESSES]
