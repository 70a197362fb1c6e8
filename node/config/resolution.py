"""Resolve flags, environment variables and the file to `Settings`; flags override variables, which override the file.

The network switches count as one setting: a flag for one network overrides a variable or a key for another. So do
``socks5-proxy`` and ``proxy``, of which one place may have only one.
``connect`` and ``addpeer`` do not: together they are an error wherever they come from, because no file may add a peer
to a node that was restricted by ``connect``.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import cast

from ziggurat.node.config.app_directory import default_app_directory
from ziggurat.node.config.environment import ignored_proxy_variables, read_fallback, read_variables
from ziggurat.node.config.file import read_config_file
from ziggurat.node.config.flags import IGNORED_DEST, read_flags
from ziggurat.node.config.ineffective import ineffective_settings
from ziggurat.node.config.networks import DEVNET, MAINNET, SIMNET, Network, numbered_testnet
from ziggurat.node.config.options import OPTIONS, Option, RawValue
from ziggurat.node.config.proxy import Proxy
from ziggurat.node.config.settings import LogFormat, LogLevel, Settings, SettingsError

__all__ = ["PROXY_SETTINGS", "Resolved", "resolve"]

DEFAULT_SOURCE = "default"
STATE_DIRECTORY = "STATE_DIRECTORY"
NETWORK_SWITCHES = ("testnet", "devnet", "simnet")
PROXY_SETTINGS = ("socks5-proxy", "proxy")
"""Two names of one setting: a SOCKS5 proxy, and a proxy of any kind by URL."""


@dataclass(frozen=True, slots=True)
class Resolved:
    """Settings, and where they came from.

    Attributes:
        settings: the settings.
        sources: the source of each setting, by option name: the flag, the variable, the file, or ``default``.
        values: the unparsed values by option name, without defaults.
        ignored_settings: the kaspad settings that were given and have no effect here.
        ignored_variables: the proxy variables of other programs that are set.
        ineffective: a line for each setting that has no effect beside others, or an unexpected one.
    """

    settings: Settings
    sources: Mapping[str, str]
    values: Mapping[str, RawValue]
    ignored_settings: tuple[str, ...] = ()
    ignored_variables: tuple[str, ...] = ()
    ineffective: tuple[str, ...] = ()


def resolve(options: argparse.Namespace, environ: Mapping[str, str]) -> Resolved:
    """Resolve the settings from the command line, the environment and the file.

    Args:
        options: the parsed flags, from a parser with `add_settings`.
        environ: the environment.

    Raises:
        SettingsError: a value is bad, a name is unknown, or two settings are mutually exclusive.
    """
    levels: list[dict[str, tuple[str, RawValue]]] = [
        read_flags(options),
        read_variables(environ),
        read_fallback(environ),
    ]
    ignored = list(dict.fromkeys(getattr(options, IGNORED_DEST, [])))
    for level in levels[:2]:
        if "configfile" in level:
            source, given = level["configfile"]
            path = cast(Path, _value(_option("configfile"), source, given, MAINNET))
            found, unused = read_config_file(path)
            levels.append({name: (str(path), value) for name, value in found.items()})
            ignored += unused
            break
    network = _network(levels)
    _keep_one_proxy(levels)
    _keep_one_onion(levels)
    chosen: dict[str, tuple[str, RawValue]] = {}
    for level in reversed(levels):
        chosen |= level
    for name in NETWORK_SWITCHES:  # an overridden network is not listed as a source
        if name in chosen and chosen[name][1] and name != network.name.split("-")[1]:
            del chosen[name]
    if "connect" in chosen and "addpeer" in chosen:
        raise SettingsError(
            f"connect ({chosen['connect'][0]}) and addpeer ({chosen['addpeer'][0]}) are mutually "
            "exclusive: connect means only these peers"
        )
    values = {name: _value(_option(name), source, given, network) for name, (source, given) in chosen.items()}
    settings = _settings(values, network, environ)
    return Resolved(
        settings,
        {option.name: _source(option.name, chosen, environ) for option in OPTIONS},
        {name: given for name, (_, given) in chosen.items()},
        tuple(ignored),
        tuple(ignored_proxy_variables(environ)),
        tuple(ineffective_settings(settings, {name: source for name, (source, _) in chosen.items()})),
    )


def _keep_one_proxy(levels: list[dict[str, tuple[str, RawValue]]]) -> None:
    """Remove the settings of a proxy that those of a higher level override."""
    known = False
    for level in levels:
        given = [name for name in PROXY_SETTINGS if name in level]
        if len(given) > 1:
            first, second = (_where(level[name][0], name) for name in given)
            raise SettingsError(f"{first} and {second} are the same setting; give only one")
        if known:
            for name in given:
                del level[name]
        known = known or bool(given)


def _keep_one_onion(levels: list[dict[str, tuple[str, RawValue]]]) -> None:
    """Remove ``onion`` where a higher level has it as ``proxy-net onion=``, and the other way round."""
    taken: str | None = None  # by which of the two, at a higher level
    for level in levels:
        source, entries = level.get("proxy-net", ("", ()))
        texts = entries if isinstance(entries, tuple) else ()
        by_entry = [text for text in texts if text.partition("=")[0].lower() in ("onion", "tor")]
        if by_entry and "onion" in level:
            first, second = _where(source, "proxy-net"), _where(level["onion"][0], "onion")
            raise SettingsError(f"{first} of onion and {second} are the same setting; give only one")
        if taken == "proxy-net":
            level.pop("onion", None)
        elif taken == "onion" and by_entry:
            level["proxy-net"] = source, tuple(text for text in texts if text not in by_entry)
        taken = taken or ("onion" if "onion" in level else "proxy-net" if by_entry else None)


def _where(source: str, name: str) -> str:
    return source if source.startswith(("--", "ZIGGURAT_", "KASPAD_")) else f"{source}: {name}"


def _source(name: str, chosen: Mapping[str, tuple[str, RawValue]], environ: Mapping[str, str]) -> str:
    if name in chosen:
        return chosen[name][0]
    return STATE_DIRECTORY if name == "appdir" and environ.get(STATE_DIRECTORY) else DEFAULT_SOURCE


def _option(name: str) -> Option:
    return next(option for option in OPTIONS if option.name == name)


def _value(option: Option, source: str, given: RawValue, network: Network) -> object:
    if option.read is None:
        return given
    texts = given if isinstance(given, tuple) else (str(given),)
    read: list[object] = []
    for text in texts:
        try:
            read.append(option.read(text, network))
        except ValueError as error:
            where, shown = _where(source, option.name), option.mask(text)
            raise SettingsError(f"{where}: bad value {shown!r} ({error}); expected {option.expected}") from error
    return tuple(read) if option.many else read[0]


def _network(levels: list[dict[str, tuple[str, RawValue]]]) -> Network:
    suffix = next((level["netsuffix"] for level in levels if "netsuffix" in level), None)
    for level in levels:
        wanted = [name for name in NETWORK_SWITCHES if name in level and level[name][1]]
        if len(wanted) > 1:
            sources = " and ".join(f"{name} ({level[name][0]})" for name in wanted)
            raise SettingsError(f"{sources} are mutually exclusive: a node runs on one network")
        if wanted == ["testnet"]:
            if suffix is None:
                return numbered_testnet()
            return numbered_testnet(cast(int, _value(_option("netsuffix"), *suffix, MAINNET)))
        if wanted:
            return {"devnet": DEVNET, "simnet": SIMNET}[wanted[0]]
    return MAINNET


def _default_directory(environ: Mapping[str, str]) -> Path:
    try:
        return default_app_directory(environ)
    except RuntimeError as error:  # the user has no home directory, as in a container
        raise SettingsError(f"--appdir: no default directory ({error}); give one") from error


def _settings(values: dict[str, object], network: Network, environ: Mapping[str, str]) -> Settings:
    known = {*NETWORK_SWITCHES, *PROXY_SETTINGS, "netsuffix", "configfile", "appdir", "loglevel", "log-format"}
    rest = {name.replace("-", "_"): value for name, value in values.items() if name not in known}
    settings = partial(
        Settings,
        appdir=cast("Path | None", values.get("appdir")) or _default_directory(environ),
        network=network,
        socks_from_tor=not any(name in values for name in PROXY_SETTINGS),  # "none" is a word, too
        proxy=cast("Proxy | None", next((values[name] for name in PROXY_SETTINGS if name in values), None)),
        loglevel=cast(LogLevel, values.get("loglevel", "info")),
        log_format=cast(LogFormat, values.get("log-format", "auto")),
    )
    try:
        return settings(**rest)  # type: ignore[arg-type]
    except ValueError as error:
        raise SettingsError(str(error)) from error
