"""A name server for tests: it answers over a stream as a script says."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import anyio
import dns.flags
import dns.message
import dns.rcode
import dns.rdatatype
import dns.rrset
from anyio.abc import ByteStream
from anyio.streams.buffered import BufferedByteReceiveStream

Script = Callable[[dns.message.Message], "bytes | None"]


def framed(wire: bytes) -> bytes:
    return len(wire).to_bytes(2, "big") + wire


def is_for(query: dns.message.Message, kind: str) -> bool:
    return query.question[0].rdtype == dns.rdatatype.from_text(kind)


def answer(
    query: dns.message.Message, *records: str, rcode: dns.rcode.Rcode = dns.rcode.NOERROR, flags: int = 0
) -> bytes:
    """Return the framed answer with the records that are of the type that is asked for, or aliases."""
    response = dns.message.make_response(query)
    response.set_rcode(rcode)
    response.flags |= flags
    kinds = {dns.rdatatype.CNAME, query.question[0].rdtype}
    for record in records:
        name, kind, value = record.split()
        if dns.rdatatype.from_text(kind) in kinds:
            response.answer.append(dns.rrset.from_text(name, 60, "IN", kind, value))
    return framed(response.to_wire(max_size=65535))


def zone(*records: str) -> Script:
    return lambda query: answer(query, *records)


async def serve(stream: ByteStream, script: Script, *, reverse: bool = False, split: int | None = None) -> None:
    """Answer two questions, in their order or in the other one, in parts of ``split`` bytes."""
    reader = BufferedByteReceiveStream(stream)
    queries: list[dns.message.Message] = []
    for _ in range(2):
        size = int.from_bytes(await reader.receive_exactly(2), "big")
        queries.append(dns.message.from_wire(await reader.receive_exactly(size)))
    replies = [script(query) for query in (reversed(queries) if reverse else queries)]
    data = b"".join(reply for reply in replies if reply is not None)
    for part in parts(data, split):
        await stream.send(part)
    if None in replies:
        await anyio.sleep_forever()


def parts(data: bytes, size: int | None) -> Sequence[bytes]:
    return [data] if size is None else [data[at : at + size] for at in range(0, len(data), size)]
