"""From flags, environment variables and the TOML file to `Settings`; networks, the proxy, the app directory.

Knows nothing of connections. Imported by the P2P service, the daemon and the command line.
"""

from __future__ import annotations

from ziggurat.node.config.app_directory import locked, make_private
from ziggurat.node.config.flags import add_settings
from ziggurat.node.config.options import OPTIONS
from ziggurat.node.config.resolution import Resolved, resolve
from ziggurat.node.config.settings import LogFormat, LogLevel, Settings, SettingsError

__all__ = [
    "OPTIONS",
    "LogFormat",
    "LogLevel",
    "Resolved",
    "Settings",
    "SettingsError",
    "add_settings",
    "locked",
    "make_private",
    "resolve",
]
