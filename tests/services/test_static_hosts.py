"""Names with fixed addresses."""

from __future__ import annotations

from typing import Any

import pytest

from ziggurat.services import ResolveError, StaticHosts, TcpConnector

HOSTS = StaticHosts({"A.example.": "192.0.2.1", "b.example": ["2001:db8::1", "192.0.2.2"], "bücher.example": "::1"})


@pytest.mark.parametrize(
    ("name", "addresses"),
    [
        ("a.example", ["192.0.2.1"]),
        ("a.example.", ["192.0.2.1"]),
        ("b.example", ["2001:db8::1", "192.0.2.2"]),
        ("xn--bcher-kva.example", ["::1"]),
    ],
)
async def test_a_name_of_the_table_has_its_addresses(name: str, addresses: list[str]) -> None:
    assert await HOSTS(name) == addresses


async def test_another_name_has_none() -> None:
    with pytest.raises(ResolveError, match=r"c\.example: not among the static hosts") as caught:
        await HOSTS("c.example")
    assert not caught.value.transient


async def test_another_name_goes_to_the_other_resolver() -> None:
    async def other(host: str) -> tuple[str, ...]:
        return (f"192.0.2.{len(host)}",)

    hosts = StaticHosts({"a.example": "192.0.2.1"}, other)
    assert await hosts("a.example") == ["192.0.2.1"]
    assert await hosts("long.example") == ["192.0.2.12"]


def test_the_settings_are_those_of_the_construction() -> None:
    table: dict[str, Any] = {"a.example": ["192.0.2.1"]}
    hosts = StaticHosts(table)
    table["a.example"].append("192.0.2.66")

    assert repr(hosts) == "StaticHosts(hosts={'a.example': ('192.0.2.1',)}, otherwise=None)"
    assert hash(TcpConnector(resolver=hosts)) == hash(TcpConnector(resolver=hosts))


@pytest.mark.parametrize(
    ("hosts", "text"),
    [
        ({"a b": "192.0.2.1"}, "hosts: bad host: 'a b'"),
        ({"192.0.2.1": "192.0.2.2"}, "hosts: '192.0.2.1' is an address"),
        ({"a.example": "b.example"}, "hosts: 'b.example', of 'a.example', is not an IP address"),
        ({"a.example": []}, "hosts: 'a.example' has no address"),
    ],
)
def test_wrong_tables_are_refused(hosts: Any, text: str) -> None:
    with pytest.raises(ValueError, match=text):
        StaticHosts(hosts)


def test_the_other_resolver_is_a_function() -> None:
    with pytest.raises(TypeError, match="otherwise must be a resolver or None"):
        StaticHosts({}, "192.0.2.53")  # type: ignore[arg-type]
