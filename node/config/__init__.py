"""The node's settings: read from flags, environment variables and a TOML file; networks, proxy, app directory.

Has no networking code. Imported by the P2P service, the daemon and the command line.
"""

from __future__ import annotations

from ziggurat.node.config.app_directory import locked, make_private
from ziggurat.node.config.flags import add_settings
from ziggurat.node.config.networks import DEVNET, MAINNET, SIMNET, Network, numbered_testnet
from ziggurat.node.config.options import OPTIONS
from ziggurat.node.config.proxy import Proxy, parse_proxy_url, parse_socks5_proxy
from ziggurat.node.config.resolution import PROXY_SETTINGS, Resolved, resolve
from ziggurat.node.config.settings import LogFormat, LogLevel, Settings, SettingsError

__all__ = [
    "DEVNET",
    "MAINNET",
    "OPTIONS",
    "PROXY_SETTINGS",
    "SIMNET",
    "LogFormat",
    "LogLevel",
    "Network",
    "Proxy",
    "Resolved",
    "Settings",
    "SettingsError",
    "add_settings",
    "locked",
    "make_private",
    "numbered_testnet",
    "parse_proxy_url",
    "parse_socks5_proxy",
    "resolve",
]
