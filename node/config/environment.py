"""Read settings from environment variables: ``ZIGGURAT_*`` for all, kaspad's for the network and its peers."""

from __future__ import annotations

import re
from collections.abc import Mapping
from difflib import get_close_matches

from ziggurat.node.config.options import OPTIONS, Option, RawValue
from ziggurat.node.config.settings import SettingsError

__all__ = ["ignored_proxy_variables", "read_fallback", "read_variables"]

PREFIX = "ZIGGURAT_"

TEST_VARIABLES = frozenset({"ZIGGURAT_KASPAD", "ZIGGURAT_PROTO_PYTHON"})
"""Variables of our tests: the path of a real kaspad, and an interpreter with another protobuf version."""

SERVICE_LINK = re.compile(
    r"ZIGGURAT_(\w+_)?(SERVICE_HOST|SERVICE_PORT(_\w+)?|PORT(_\d+_(TCP|UDP|SCTP)(_(PROTO|PORT|ADDR))?)?)", re.ASCII
)
"""What Kubernetes adds to each container of a namespace with a service named ziggurat; not ours."""

TRUE_WORDS = frozenset({"1", "true", "yes", "on"})
FALSE_WORDS = frozenset({"0", "false", "no", "off"})

IGNORED_PROXY_VARIABLES = ("ALL_PROXY", "GRPC_PROXY", "HTTP_PROXY", "HTTPS_PROXY", "SOCKS_PROXY", "SOCKS5_PROXY")
"""Variables from which other programs take a proxy, in upper or lower case. Empty ones do not count."""


def read_variables(environ: Mapping[str, str]) -> dict[str, tuple[str, RawValue]]:
    """Read our own variables.

    Returns:
        The variable's name and its value, by option name.

    Raises:
        SettingsError: a variable is empty or unknown. A misspelt name, in lower case for one, must not lead to dials
            without a proxy.
    """
    names = {option.variable: option for option in OPTIONS}
    given: dict[str, tuple[str, RawValue]] = {}
    for name in sorted(filter(_is_ours, environ)):
        option = names.get(name)
        if option is None:
            near = get_close_matches(name.upper(), names, 1)
            raise SettingsError(f"{name}: unknown setting{f'; did you mean {near[0]}?' if near else ''}")
        if not environ[name].strip():
            expected = option.expected or "true or false"
            raise SettingsError(f"{name}: empty; expected {expected}, or unset it")
        given[option.name] = name, _raw_value(option, name, environ[name])
    return given


def read_fallback(environ: Mapping[str, str]) -> dict[str, tuple[str, RawValue]]:
    """Read kaspad's variables for the network and its peers; empty ones are ignored.

    Returns:
        As `read_variables`.

    Raises:
        SettingsError: a switch is neither true nor false.
    """
    return {
        option.name: (option.kaspad, _raw_value(option, option.kaspad, environ[option.kaspad]))
        for option in OPTIONS
        if option.kaspad is not None and environ.get(option.kaspad, "").strip()
    }


def ignored_proxy_variables(environ: Mapping[str, str]) -> list[str]:
    """Return the names of proxy variables that are set, and that this program ignores."""
    return [name for name in sorted(environ) if name.upper() in IGNORED_PROXY_VARIABLES and environ[name]]


def _is_ours(name: str) -> bool:
    return name.upper().startswith(PREFIX) and name not in TEST_VARIABLES and SERVICE_LINK.fullmatch(name) is None


def _raw_value(option: Option, name: str, text: str) -> RawValue:
    if option.many:
        return tuple(part.strip() for part in text.split(","))
    if option.read is not None:
        return text
    word = text.strip().lower()
    if word not in TRUE_WORDS | FALSE_WORDS:
        raise SettingsError(f"{name}: bad value {text!r}; expected true or false")
    return word in TRUE_WORDS
