from __future__ import annotations

import pytest

from ziggurat.layers import DirectLayer, ServiceBuilder, Socks5Layer, TimeoutLayer
from ziggurat.layers.route import Rule
from ziggurat.layers.testing import mock_connector
from ziggurat.services.tcp import TcpConnector
from ziggurat.services.uri import Uri


@pytest.mark.parametrize(
    ("conditions", "fitting", "other"),
    [
        ({}, "http://a.example unix:/x http://192.0.2.1", ""),
        ({"scheme": "https"}, "https://a.example", "http://a.example unix:/x"),
        ({"scheme": ["https", "unix"]}, "https://a.example unix:/x", "http://a.example"),
        (
            {"suffix": ".onion"},
            "http://abc.onion http://a.abc.onion http://onion http://ABC.Onion.",
            "http://onion.example http://xonion http://192.0.2.1 unix:/x.onion",
        ),
        (
            {"suffix": "corp.example"},
            "http://corp.example http://a.corp.example",
            "http://xcorp.example http://example",
        ),
        ({"suffix": ["a.test", "b.test"]}, "http://a.test http://x.b.test", "http://c.test"),
        ({"suffix": "\u4f8b.test"}, "http://x.\u4f8b.test http://xn--fsq.test", "http://test"),
        # Go's CVE-2025-22870: a zone id is no domain.
        ({"suffix": "example.com"}, "http://example.com", "http://[fe80::1%25.example.com]"),
        (
            {"cidr": "10.0.0.0/8"},
            "http://10.1.2.3 http://[::ffff:10.1.2.3]",
            "http://11.1.2.3 http://a.example http://[::1]",
        ),
        ({"cidr": ["192.0.2.7", "fd00::/8"]}, "http://192.0.2.7 http://[fd00::1]", "http://192.0.2.8 unix:/x"),
        ({"port": 443}, "http://a.example:443 https://192.0.2.1", "http://a.example"),
        ({"port": [80, 8080]}, "http://a.example http://a.example:8080", "https://a.example unix:/x"),
        (
            {"class_": "ipv4"},
            "http://192.0.2.1 http://[::ffff:192.0.2.1] http://127.0.0.1",
            "http://[::1] http://a.test",
        ),
        ({"class_": "ipv6"}, "http://[2001:db8::1]", "http://192.0.2.1 http://a.test"),
        ({"class_": "onion"}, "http://abc.onion", "http://abc.example unix:/x"),
        (
            {"class_": "loopback"},
            "http://127.0.0.1 http://[::1] http://localhost http://0.0.0.0 unix:/x",
            "http://10.0.0.1 http://localhost.net",
        ),
        (
            {"class_": "private"},
            "http://10.0.0.1 http://[fe80::1%25eth0]",
            "http://127.0.0.1 http://192.0.2.1 http://a.test",
        ),
        ({"class_": ["private", "loopback"]}, "http://10.0.0.1 http://localhost", "http://192.0.2.1"),
        ({"suffix": "a.test", "port": 443}, "https://a.test", "http://a.test https://b.test"),
    ],
)
def test_what_fits(conditions: dict[str, object], fitting: str, other: str) -> None:
    rule = Rule(via="direct", **conditions)  # type: ignore[arg-type]

    assert [target for target in fitting.split() if not rule.fits(Uri.parse(target))] == []
    assert [target for target in other.split() if rule.fits(Uri.parse(target))] == []


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"via": "ftp://a"}, "bad via: unknown proxy scheme 'ftp'; expected http, https,"),
        ({"via": "socks://a:1"}, r"unknown proxy scheme 'socks' \(write socks5:// or socks4://\)"),
        ({"via": "127.0.0.1:9050"}, "'127.0.0.1:9050' has none; expected http://.*; or direct, or refuse"),
        ({"via": "Direct"}, "or direct, or refuse"),
        ({"via": []}, "a chain of proxies is empty"),
        ({"via": 7}, "a connector is an async callable"),
        ({"via": TcpConnector}, r"TcpConnector is a class: pass an instance"),
        ({"via": None}, "a connector is an async callable"),
        ({"via": ["direct"]}, "'direct' has none"),
        ({"via": "direct", "scheme": "ftp"}, "bad scheme: 'ftp'; expected http, https"),
        ({"via": "direct", "suffix": "a b"}, "bad suffix: 'a b'"),
        ({"via": "direct", "suffix": 7}, "bad suffix: 7"),
        ({"via": "direct", "suffix": ""}, "bad suffix: ''"),
        (
            {"via": "direct", "suffix": "*.corp.test"},
            r"bad suffix: '\*.corp.test'; a suffix has no \*: write .corp.test",
        ),
        ({"via": "direct", "suffix": "10.0.0.1"}, "'10.0.0.1' is an address; write it as cidr"),
        ({"via": "direct", "cidr": "10.0.0.0/33"}, "bad cidr: '10.0.0.0/33'; expected an IP address or IP/BITS"),
        ({"via": "direct", "cidr": "a.example"}, "bad cidr: 'a.example'"),
        ({"via": "direct", "port": 0}, "bad port: 0; expected a number from 1 to 65535"),
        ({"via": "direct", "port": "80"}, "bad port: '80'"),
        ({"via": "direct", "port": True}, "bad port: True"),
        ({"via": "direct", "port": 1.5}, "port must be a value or a list"),
        ({"via": "direct", "class_": "public"}, "bad class: 'public'; expected ipv4, ipv6, onion, loopback, private"),
    ],
)
def test_what_is_wrong_is_named(arguments: dict[str, object], message: str) -> None:
    with pytest.raises((ValueError, TypeError), match=message):
        Rule(**arguments)  # type: ignore[arg-type]


def test_a_way_is_direct_a_refusal_a_proxy_a_chain_layers_or_a_connector() -> None:
    connector, _ = mock_connector()
    layers = [TimeoutLayer(1.0), DirectLayer()]
    builder = ServiceBuilder().timeout(1.0)

    assert Rule(via="direct").way == "direct"
    assert Rule(via="refuse").way == "refuse"
    assert Rule(via="socks5://proxy.test").layers == (Socks5Layer("proxy.test"),)
    assert Rule(via=Uri.parse("socks5://proxy.test")).via == "socks5://proxy.test:1080"
    assert Rule(via=["socks5://near.test", "socks5://far.test"]).layers == (
        Socks5Layer("far.test"),
        Socks5Layer("near.test"),
    )
    assert Rule(via=layers[0]).layers == (TimeoutLayer(1.0),)
    assert Rule(via=layers).layers == tuple(layers)
    assert Rule(via=builder).layers == builder.layers
    assert Rule(via=connector).connector is connector
    assert Rule(via=builder.service(connector)).way == "stack"


def test_secrets_are_masked() -> None:
    rule = Rule(via=["socks5://u:secret1@near.test", "socks5://u:secret2@far.test:1081/"])

    assert rule.via == "socks5://***@near.test, then socks5://***@far.test:1081"
    assert "secret" not in repr(rule)


def test_secrets_are_in_no_error() -> None:
    with pytest.raises(ValueError, match="bad port") as caught:
        Rule(via="socks5://u:secret@near.test:99999")

    assert "secret" not in str(caught.value)
    assert caught.traceback[-1].frame.f_locals.get("via") is None


def test_conditions_in_words() -> None:
    rule = Rule(via="direct", suffix=[".a.test", "b.test"], port=443, class_="onion", cidr="10.0.0.1/8", scheme="https")

    assert rule.conditions == "scheme https, suffix a.test or b.test, cidr 10.0.0.0/8, port 443, class onion"
    assert Rule(via="direct").conditions == "any target"
