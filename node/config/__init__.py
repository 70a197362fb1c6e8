"""The node's settings: read from flags, environment variables and a TOML file; networks, proxy, app directory.

Has no networking code. Imported by the P2P service, the daemon and the command line.
"""

from __future__ import annotations

from ziggurat.node.config.app_directory import locked, make_private
from ziggurat.node.config.flags import add_settings
from ziggurat.node.config.network_proxy import NetworkProxy, parse_network_proxy, parse_onion_proxy
from ziggurat.node.config.networks import DEVNET, MAINNET, SIMNET, Network, numbered_testnet
from ziggurat.node.config.options import OPTIONS
from ziggurat.node.config.proxy import Proxy, parse_proxy_url, parse_socks5_proxy
from ziggurat.node.config.resolution import PROXY_SETTINGS, Resolved, resolve
from ziggurat.node.config.settings import LogFormat, LogLevel, Settings, SettingsError
from ziggurat.node.config.tor import OnionBind
from ziggurat.node.config.ways import Way, Ways

__all__ = [
    "DEVNET",
    "MAINNET",
    "OPTIONS",
    "PROXY_SETTINGS",
    "SIMNET",
    "LogFormat",
    "LogLevel",
    "Network",
    "NetworkProxy",
    "OnionBind",
    "Proxy",
    "Resolved",
    "Settings",
    "SettingsError",
    "Way",
    "Ways",
    "add_settings",
    "locked",
    "make_private",
    "numbered_testnet",
    "parse_network_proxy",
    "parse_onion_proxy",
    "parse_proxy_url",
    "parse_socks5_proxy",
    "resolve",
]
