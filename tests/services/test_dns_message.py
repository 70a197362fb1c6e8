"""DNS over a stream, sans-IO: which answers count, and which errors are worth another try."""

from __future__ import annotations

import dns.flags
import dns.message
import dns.rcode
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.services.dns_server import Script, answer, framed, is_for, zone
from ziggurat.services.dns_message import MAX_ADDRESSES, MAX_ANSWER, DnsLookup
from ziggurat.services.errors import ResolveError

BOTH = ("a.example. AAAA 2001:db8::1", "a.example. A 192.0.2.1")


def queries(lookup: DnsLookup) -> list[dns.message.Message]:
    data, found = lookup.questions, list[dns.message.Message]()
    while data:
        size = int.from_bytes(data[:2], "big")
        found.append(dns.message.from_wire(data[2 : 2 + size]))
        data = data[2 + size :]
    return found


def answered(script: Script, host: str = "a.example") -> DnsLookup:
    lookup = DnsLookup(host)
    lookup.receive(b"".join(reply for query in queries(lookup) if (reply := script(query)) is not None))
    return lookup


def failure(script: Script) -> ResolveError:
    with pytest.raises(ResolveError) as caught:
        answered(script).addresses()
    return caught.value


def test_it_asks_for_both_families_with_ids_of_their_own() -> None:
    asked = queries(DnsLookup("a.example"))

    assert [str(query.question[0]) for query in asked] == ["a.example. IN AAAA", "a.example. IN A"]
    assert all(query.flags & dns.flags.RD for query in asked)
    assert len({query.id for query in asked}) == 2


def test_the_same_id_twice_is_not_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dns.entropy.random_16", lambda: 7)
    monkeypatch.setattr("random.randint", lambda *_: 7)

    assert len({query.id for query in queries(DnsLookup("a.example"))}) == 2


def test_the_addresses_are_those_of_ipv6_and_then_those_of_ipv4() -> None:
    lookup = answered(zone(*reversed(BOTH)))

    assert lookup.done
    assert lookup.addresses() == ["2001:db8::1", "192.0.2.1"]


def test_aliases_are_followed_within_the_answer() -> None:
    lookup = answered(zone("a.example. CNAME b.example.", "b.example. CNAME c.test.", "c.test. A 192.0.2.7"))

    assert lookup.addresses() == ["192.0.2.7"]


def test_an_address_of_a_name_that_no_alias_leads_to_does_not_count() -> None:
    error = failure(zone("a.example. CNAME b.example.", "evil.example. A 192.0.2.66"))

    assert (error.message, error.transient) == ("a.example: no address", False)


def test_a_chain_of_aliases_has_an_end() -> None:
    error = failure(zone("a.example. CNAME b.example.", "b.example. CNAME a.example."))

    assert "chain" in error.message.lower()
    assert not error.transient


def test_answers_may_come_in_any_order_and_in_any_pieces() -> None:
    lookup = DnsLookup("a.example")
    data = b"".join(answer(query, *BOTH) for query in reversed(queries(lookup)))
    for at in range(len(data)):
        assert not lookup.done
        lookup.receive(data[at : at + 1])

    assert lookup.addresses() == ["2001:db8::1", "192.0.2.1"]


@pytest.mark.parametrize(
    ("code", "text", "transient"),
    [
        (dns.rcode.NXDOMAIN, "no such name (NXDOMAIN)", False),
        (dns.rcode.SERVFAIL, "the name server answered SERVFAIL", True),
        (dns.rcode.REFUSED, "the name server answered REFUSED", False),
        (dns.rcode.FORMERR, "the name server answered FORMERR", False),
        (dns.rcode.NOTIMP, "the name server answered NOTIMP", False),
    ],
)
def test_an_error_of_the_server_is_transient_only_if_it_could_not_tell(
    code: dns.rcode.Rcode, text: str, transient: bool
) -> None:
    error = failure(lambda query: answer(query, rcode=code))

    assert error.message == f"a.example: {text}"
    assert error.transient is transient


def test_an_error_without_its_question_is_still_an_answer() -> None:
    def script(query: dns.message.Message) -> bytes:
        response = dns.message.Message(query.id)
        response.flags = dns.flags.QR
        response.set_rcode(dns.rcode.SERVFAIL)
        return framed(response.to_wire())

    assert failure(script).message == "a.example: the name server answered SERVFAIL"


@pytest.mark.parametrize("failing", ["AAAA", "A"])
def test_one_family_is_enough(failing: str) -> None:
    """Some servers fail or deny where a name has no IPv6 address."""
    for code in (dns.rcode.SERVFAIL, dns.rcode.NXDOMAIN):
        lookup = answered(
            lambda query, code=code: answer(query, rcode=code) if is_for(query, failing) else answer(query, *BOTH)  # type: ignore[misc]
        )
        assert len(lookup.addresses()) == 1


def test_no_address_is_not_certain_while_one_family_is_unknown() -> None:
    error = failure(lambda query: answer(query, rcode=dns.rcode.SERVFAIL) if is_for(query, "A") else answer(query))

    assert error.transient


@pytest.mark.parametrize("unsure", ["AAAA", "A"])
def test_no_such_name_is_not_certain_either_then(unsure: str) -> None:
    error = failure(
        lambda query: answer(query, rcode=dns.rcode.SERVFAIL if is_for(query, unsure) else dns.rcode.NXDOMAIN)
    )

    assert error.transient
    assert "SERVFAIL" in error.message


def test_a_name_with_other_records_only_has_no_address() -> None:
    error = failure(zone())

    assert (error.message, error.transient) == ("a.example: no address", False)


def test_a_truncated_answer_is_refused() -> None:
    error = failure(lambda query: answer(query, *BOTH, flags=dns.flags.TC))

    assert error.message == "a.example: the answer was truncated, over a stream"


@pytest.mark.parametrize("size", [0, 11, MAX_ANSWER + 1, 65535])
def test_a_length_that_no_answer_has_is_refused_at_once(size: int) -> None:
    """``HTTP/1.1 400`` begins with the length 18516."""
    lookup = DnsLookup("a.example")
    with pytest.raises(ResolveError, match=rf"an answer of {size} bytes .*; is this a name server") as caught:
        lookup.receive(size.to_bytes(2, "big"))
    assert not caught.value.transient


def test_of_many_addresses_some_are_used() -> None:
    lookup = answered(zone(*(f"a.example. A 192.0.2.{n}" for n in range(256))))

    assert len(lookup.addresses()) == MAX_ADDRESSES


def other_name(query: dns.message.Message) -> bytes:
    other = dns.message.make_query("other.example", query.question[0].rdtype, id=query.id)
    return answer(other, "other.example. A 192.0.2.66")


def other_id(query: dns.message.Message) -> bytes:
    query.id ^= 0x8000
    return answer(query, *BOTH)


def other_kind(query: dns.message.Message) -> bytes:
    return answer(dns.message.make_query("a.example", "MX", id=query.id))


def the_question_itself(query: dns.message.Message) -> bytes:
    return framed(query.to_wire())


@pytest.mark.parametrize("script", [other_name, other_id, other_kind, the_question_itself])
def test_an_answer_to_another_question_is_refused(script: Script) -> None:
    with pytest.raises(ResolveError, match=r"a\.example: the answer is to another question"):
        answered(script)


@given(st.binary(min_size=12, max_size=200))
def test_any_bytes_are_an_answer_or_a_resolve_error(wire: bytes) -> None:
    lookup = DnsLookup("a.example")
    with pytest.raises(ResolveError, match=r"not DNS|another question"):
        lookup.receive(framed(wire))


@given(st.data())
def test_an_answer_with_any_bytes_changed_is_an_answer_or_a_resolve_error(data: st.DataObject) -> None:
    lookup = DnsLookup("a.example")
    wire = bytearray(answer(queries(lookup)[0], "a.example. CNAME b.example.", "b.example. AAAA 2001:db8::1"))
    for _ in range(data.draw(st.integers(1, 4))):
        wire[data.draw(st.integers(2, len(wire) - 1))] = data.draw(st.integers(0, 255))
    try:
        lookup.receive(bytes(wire))
        lookup.end("hung up")
        found = lookup.addresses()
    except ResolveError:
        return
    assert all(":" in address for address in found)


def test_what_is_not_answered_in_the_end_is_transient() -> None:
    lookup = answered(lambda query: answer(query) if is_for(query, "AAAA") else None)
    assert not lookup.done
    lookup.end("hung up")

    assert lookup.done
    with pytest.raises(ResolveError, match=r"a\.example: the name server hung up") as caught:
        lookup.addresses()
    assert caught.value.transient


@pytest.mark.parametrize("host", ["x" * 64 + ".example", ".".join(["x" * 50] * 6), "a..example"])
def test_a_name_that_dns_cannot_express_is_refused(host: str) -> None:
    with pytest.raises(ResolveError, match="check the name") as caught:
        DnsLookup(host)
    assert not caught.value.transient
