from __future__ import annotations

import pytest

from tests.node.config.test_resolution import read


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (["--connect=h", "--outpeers=3"], "outpeers (--outpeers) has no effect beside connect: the node dials only"),
        (["--connect=h", "--listen=127.0.0.1"], "listen (--listen) has no effect beside connect"),
        (["--connect=h", "--maxinpeers=3"], "maxinpeers (--maxinpeers) has no effect beside connect"),
        (["--connect=h", "--nodnsseed"], "nodnsseed (--nodnsseed) has no effect beside connect"),
        (
            ["--listen=127.0.0.1", "--maxinpeers=0"],
            "listen (--listen) has no effect: with maxinpeers 0 the node does not",
        ),
        (
            ["--connect=h", "--maxinpeersperaddr=3"],
            "maxinpeersperaddr (--maxinpeersperaddr) has no effect beside connect",
        ),
        (["--inbound-proxy=10.0.0.1", "--maxinpeers=0"], "inbound-proxy (--inbound-proxy) has no effect: with maxin"),
        (
            ["--inbound-proxy=10.0.0.1", "--proxy=tor"],
            "inbound-proxy (--inbound-proxy) has no effect: with a proxy the",
        ),
        (["--proxy=tor", "--listen=0.0.0.0"], "listen (--listen) lets peers connect past the proxy"),
        (["--proxy=tor", "--listen=[::]:1"], "listen (--listen) lets peers connect past the proxy"),
        (["--proxy=tor", "--listen=8.8.8.8"], "listen (--listen) lets peers connect past the proxy"),
        (
            ["--proxy=tor", "--externalip=8.8.8.8"],
            "externalip (--externalip) makes the node listen on 0.0.0.0:16111, which lets peers connect past the proxy",
        ),
        (
            ["--proxy=tor", "--maxinpeers=3"],
            "maxinpeers (--maxinpeers) has no effect: with a proxy the node",
        ),
        (["--tor-onion-key=/k"], "tor-onion-key (--tor-onion-key) has no effect without listen-onion"),
        (["--onion-bind=10.0.0.1"], "onion-bind (--onion-bind) has no effect without listen-onion"),
        (["--externalip=2600::1"], "externalip (--externalip) is IPv6, but the node listens on IPv4 only"),
        (["--listen=[::1]", "--externalip=8.8.8.8"], "externalip (--externalip) is IPv4, but the node listens on IPv6"),
        (["--proxy=tor", "--outpeers=0"], "outpeers (--outpeers) leaves the node without peers: it neither dials nor"),
        (["--maxinpeers=0", "--outpeers=0"], "outpeers (--outpeers) leaves the node without peers: it neither dials"),
        (
            ["--addpeer=192.0.2.7", "--ban=192.0.2.7"],
            "ban (--ban) of 192.0.2.7 has no effect: connect or addpeer",
        ),
        (
            ["--inbound-proxy=10.0.0.0/8", "--ban=10.0.0.1"],
            "ban (--ban) of 10.0.0.1 does not affect inbound peers",
        ),
        (["--logdir=/x", "--nologfiles"], "logdir (--logdir) has no effect beside nologfiles"),
        (["--proxy=socks4://h"], "proxy (--proxy) reaches IPv4 addresses only, no name and so no DNS seeder"),
        (["--connect=h", "--onlynet=ipv4"], "onlynet (--onlynet) has no effect beside connect"),
        (
            ["--no-proxyrandomize", "--proxy=http://h:1"],
            "no-proxyrandomize (--no-proxyrandomize) has no effect: there is no SOCKS5 proxy",
        ),
        (
            ["--tor-control=127.0.0.1", "--listen-onion", "--socks5-proxy=none"],
            "listen-onion (--listen-onion) publishes a service that no peer is told of",
        ),
        (["--proxy=tor", "--onlynet=onion"], "onlynet (--onlynet) leaves out the DNS seeders: they know no onion"),
        (["--proxy=tor", "--tor-only"], "tor-only (--tor-only) leaves out the DNS seeders: they know no onion"),
        (["--onion=tor"], "onion (--onion) leaves out the DNS seeders: ipv4 has no proxy, and once any is set"),
        (["--netsuffix=10"], "netsuffix (--netsuffix) has no effect without testnet"),
        (["--simnet", "--netsuffix=10"], "netsuffix (--netsuffix) has no effect without testnet"),
    ],
)
def test_a_setting_without_effect_is_named_with_the_reason(arguments: list[str], line: str) -> None:
    (found,) = read(*arguments).ineffective

    assert found.startswith(line)


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["--connect=h", "--proxy=tor"],
        ["--proxy=socks4a://h"],
        ["--addpeer=h", "--outpeers=3", "--listen=0.0.0.0", "--maxinpeers=3"],
        ["--maxinpeers=0"],
        ["--outpeers=0"],
        ["--outpeers=0", "--tor-control=127.0.0.1", "--listen-onion", "--tor-onion-key=/k", "--maxinpeersperaddr=3"],
        ["--outpeers=0", "--maxinpeers=0", "--addpeer=h"],
        ["--proxy=tor", "--listen=127.0.0.1"],
        ["--listen=[::]", "--externalip=8.8.8.8"],
        ["--listen=0.0.0.0", "--listen=[::]", "--externalip=2600::1"],
        ["--proxy=tor", "--listen=0.0.0.0", "--inbound-proxy=172.18.0.0/16"],
        ["--addpeer=192.0.2.7", "--ban=192.0.2.0/24", "--ban=agent:x", "--inbound-proxy=10.0.0.0/8"],
        ["--logdir=/x"],
        ["--nologfiles"],
        ["--testnet", "--netsuffix=10"],
    ],
)
def test_settings_that_go_together_are_not_mentioned(arguments: list[str]) -> None:
    assert read(*arguments).ineffective == ()


def test_the_source_may_be_a_variable() -> None:
    (found,) = read("--connect=h", KASPAD_OUTPEERS="4").ineffective

    assert found.startswith("outpeers (KASPAD_OUTPEERS) has no effect")
