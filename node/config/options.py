"""The table of settings: flag, key, environment variables, help text and parser of each."""

from __future__ import annotations

from ziggurat.node.config.network_proxy import (
    NETWORK_NAMES,
    NETWORK_PROXY_SYNTAX,
    ONION_SYNTAX,
    masked_entry,
    parse_address_network,
    parse_network_proxy,
    parse_onion_proxy,
)
from ziggurat.node.config.option import Option, RawValue
from ziggurat.node.config.proxy import PROXY_SYNTAX, PROXY_URL_SYNTAX, masked, parse_proxy_url, parse_socks5_proxy
from ziggurat.node.config.readers import (
    read_ban,
    read_comment,
    read_count,
    read_external,
    read_format,
    read_level,
    read_literal,
    read_network,
    read_onion_bind,
    read_path,
    read_peer,
    read_positive,
    read_suffix,
)
from ziggurat.node.config.settings import LOG_FORMATS, LOG_LEVELS
from ziggurat.node.config.tor import CONTROL_SYNTAX, ONION_BIND_SYNTAX, parse_tor_control
from ziggurat.node.inbound import BAN_SYNTAX

__all__ = ["IGNORED_FLAGS", "IGNORED_VALUES", "OPTIONS", "Option", "RawValue"]

PEER_SYNTAX = "IP[:PORT] or NAME[:PORT]"
PEER_METAVAR = "HOST[:PORT]"
IP_SYNTAX = "IP[:PORT]"
NETWORK_SYNTAX = "IP or IP/BITS"


COUNT_SYNTAX = "a number, 0 or more"

OPTIONS: tuple[Option, ...] = (
    Option(
        "socks5-proxy",
        "SOCKS5 proxy for all outbound connections (default port: 9050)",
        lambda text, network: parse_socks5_proxy(text),
        PROXY_SYNTAX,
        node_only=False,
        mask=masked,
    ),
    Option(
        "proxy",
        "the same by URL, for any kind of proxy",
        lambda text, network: parse_proxy_url(text),
        PROXY_URL_SYNTAX,
        node_only=False,
        mask=masked,
    ),
    Option(
        "proxy-net",
        "proxy for one network; 0 does not dial it, and direct alone allows direct dials beside a proxy",
        lambda text, network: parse_network_proxy(text),
        NETWORK_PROXY_SYNTAX,
        "NET=ADDR",
        many=True,
        node_only=False,
        mask=masked_entry,
    ),
    Option(
        "onion",
        "proxy for onion services, as --proxy-net onion=ADDR; 0 dials none",
        lambda text, network: parse_onion_proxy(text),
        ONION_SYNTAX,
        "ADDR",
        node_only=False,
        mask=masked,
    ),
    Option(
        "onlynet",
        "dial only this network, besides the peers that you name",
        lambda text, network: parse_address_network(text),
        NETWORK_NAMES,
        "NET",
        many=True,
        node_only=False,
    ),
    Option(
        "no-proxyrandomize",
        "offer a SOCKS5 proxy no credentials, instead of new ones for each dial, which give it a circuit of its own",
        node_only=False,
    ),
    Option(
        "tor-only",
        "dial onion services only, nothing directly, and the peers that you name through Tor's exits",
        node_only=False,
    ),
    Option(
        "tor-control",
        "Tor's control port (default port: 9051): wait for Tor, and ask it for its SOCKS port where no proxy is given",
        lambda text, network: parse_tor_control(text),
        CONTROL_SYNTAX,
        "ADDR",
    ),
    Option("tor-password-file", "file with the password of Tor's control port", read_path, "a file", "FILE"),
    Option("tor-cookie", "cookie file of Tor's control port (default: as Tor says)", read_path, "a file", "FILE"),
    Option("listen-onion", "publish an onion service, by --tor-control"),
    Option("onion-public", "tell all peers that know onion services of it (default: only those reached by onion)"),
    Option(
        "tor-onion-key",
        "file of the onion service's key, made once (default: onion_key, beside the address book)",
        read_path,
        "a file",
        "FILE",
    ),
    Option(
        "onion-bind",
        "where Tor hands over the onion service's connections (default: 127.0.0.1 and the port after the network's)",
        read_onion_bind,
        ONION_BIND_SYNTAX,
        ONION_BIND_SYNTAX,
    ),
    Option("testnet", "use a test network", kaspad="KASPAD_TESTNET", node_only=False),
    Option(
        "netsuffix",
        "the test network's number (default: 10)",
        read_suffix,
        COUNT_SYNTAX,
        "N",
        number=True,
        kaspad="KASPAD_NETSUFFIX",
        node_only=False,
    ),
    Option("devnet", "use the development network", kaspad="KASPAD_DEVNET", node_only=False),
    Option("simnet", "use the simulation network", kaspad="KASPAD_SIMNET", node_only=False),
    Option(
        "connect",
        "dial only this peer, and do not listen",
        read_peer,
        PEER_SYNTAX,
        PEER_METAVAR,
        many=True,
        kaspad="KASPAD_CONNECTPEERS",
    ),
    Option(
        "addpeer",
        "keep a connection to this peer",
        read_peer,
        PEER_SYNTAX,
        PEER_METAVAR,
        many=True,
        kaspad="KASPAD_ADDPEERS",
    ),
    Option(
        "listen",
        "address to listen on; [::] takes both families (default: 0.0.0.0 and the network's port; none with a proxy)",
        read_literal,
        IP_SYNTAX,
        IP_SYNTAX,
        many=True,
        single=True,
    ),
    Option(
        "outpeers",
        "target number of outbound peers (default: 8)",
        read_count,
        COUNT_SYNTAX,
        "N",
        number=True,
        kaspad="KASPAD_OUTPEERS",
    ),
    Option(
        "maxinpeers",
        "maximum number of inbound peers (default: 128)",
        read_count,
        COUNT_SYNTAX,
        "N",
        number=True,
        kaspad="KASPAD_MAXINPEERS",
    ),
    Option(
        "maxinpeersperaddr",
        "maximum number of inbound peers from one IP, loopback aside (default: 8)",
        read_positive,
        "a number, 1 or more",
        number=True,
    ),
    Option(
        "inbound-proxy",
        "inbound peers from this IP or network come through a proxy, as behind a container's gateway: no limit per IP",
        read_network,
        NETWORK_SYNTAX,
        many=True,
    ),
    Option(
        "ban", "neither let in nor dial these peers, besides those of 'ziggurat ban'", read_ban, BAN_SYNTAX, many=True
    ),
    Option(
        "externalip",
        "address to advertise to peers (default port: that of --listen)",
        read_external,
        IP_SYNTAX,
        IP_SYNTAX,
    ),
    Option("nodnsseed", "do not query DNS seeders", kaspad="KASPAD_NODNSSEED"),
    Option("uacomment", "comment to add to the user agent", read_comment, "text without / : ( )", many=True),
    Option("appdir", "directory for all data", read_path, "a directory", "DIR", short="b", node_only=False),
    Option(
        "logdir", "directory for log files (default: logs, beside the address book)", read_path, "a directory", "DIR"
    ),
    Option("nologfiles", "do not write log files"),
    Option(
        "loglevel",
        "minimum level of log events (default: info)",
        read_level,
        ", ".join(LOG_LEVELS),
        short="d",
        node_only=False,
    ),
    Option(
        "log-format",
        "log format on stderr; auto is console on a terminal, else json (default: auto)",
        read_format,
        ", ".join(LOG_FORMATS),
        node_only=False,
    ),
    Option(
        "configfile",
        "also read settings from this TOML file",
        read_path,
        "a file",
        "FILE",
        short="C",
        in_file=False,
        node_only=False,
    ),
)

IGNORED_FLAGS = (
    *("archival", "disable-upnp", "enable-mainnet-mining", "enable-unsynced-mining", "nogrpc", "perf-metrics"),
    *("reset-db", "sanity", "unsaferpc", "utxoindex", "wrpc-verbose", "yes"),
)
"""kaspad's switches that have no effect here, as flags and as keys."""

IGNORED_VALUES = (
    *("async-threads", "block-template-cache-lifetime", "max-tracked-addresses", "override-params-file"),
    *("perf-metrics-interval-sec", "ram-scale", "retention-period-days", "rocksdb-cache-size", "rocksdb-preset"),
    *("rocksdb-wal-dir", "rpclisten", "rpclisten-borsh", "rpclisten-json", "rpcmaxclients", "ua-rule"),
)
"""kaspad's settings with a value that have no effect here, as flags and as keys."""
