"""The flags ``--proxy`` and ``--route`` of the commands that dial for other programs, and the way that they choose."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from pathlib import Path
from typing import TypeAlias

from ziggurat.layers import EnvironmentProxyLayer, RouteLayer, Rule, proxy_from_environment, read_routes
from ziggurat.node.config import SettingsError

__all__ = ["ENVIRONMENT", "WAY_SYNTAX", "ChosenWay", "add_route_flag", "add_way_flags", "chosen_way"]

ChosenWay: TypeAlias = RouteLayer | EnvironmentProxyLayer
"""A layer, which also says what it decides: ``decide(uri)``."""

ENVIRONMENT = "env"

DIRECT = "none"

WAY_SYNTAX = (
    "SCHEME://[USER:PASSWORD@]HOST[:PORT] (http, https, socks4, socks4a, socks5 or socks5h), unix:/PATH, env to obey "
    "HTTPS_PROXY and the other variables, or none to dial directly"
)


def add_way_flags(parser: argparse.ArgumentParser) -> None:
    """Add ``--proxy`` and ``--route``; `chosen_way` takes their values, ``proxy`` and ``route`` of the namespace."""
    parser.add_argument("--proxy", metavar="URL|env", help=f"proxy for every dial; {WAY_SYNTAX}")
    add_route_flag(parser)


def add_route_flag(parser: argparse.ArgumentParser) -> None:
    """Add ``--route``."""
    parser.add_argument("--route", metavar="FILE", help="TOML file of rules: which target goes which way")


def chosen_way(proxy: str | None, route: str | None, environ: Mapping[str, str]) -> ChosenWay | None:
    """Return the layer that takes each dial its way.

    Args:
        proxy: the value of ``--proxy``; ``None`` if it was not given.
        route: the value of ``--route``; ``None`` if it was not given.
        environ: the environment, for ``env``.

    Returns:
        The layer; ``None`` if neither was given.

    Raises:
        SettingsError: both were given, or one has a bad value. The message contains no credentials.
    """
    if route is not None:
        if proxy is not None:
            raise SettingsError("--proxy and --route are mutually exclusive: a rule names its proxy by via")
        try:
            return read_routes(Path(route))
        except OSError as error:
            raise SettingsError(f"--route: cannot read {route}: {error.strerror}") from error
        except ValueError as error:
            raise SettingsError(f"--route: {error}") from error
    if proxy is None:
        return None
    if proxy == ENVIRONMENT:
        try:
            return proxy_from_environment(environ)
        except ValueError as error:
            raise SettingsError(f"--proxy env: {error}") from None
    if proxy in ("direct", "refuse"):  # words of a rule
        raise SettingsError(f"--proxy: bad value {proxy!r}; expected {WAY_SYNTAX}")
    try:
        return RouteLayer([Rule(via="direct" if proxy == DIRECT else proxy, name="--proxy")])
    except ValueError as error:
        reason = str(error).removeprefix("bad via: ").removesuffix("; or direct, or refuse")
        raise SettingsError(f"--proxy: {reason}; or env, or none") from None
