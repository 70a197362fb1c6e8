"""Read a route from a TOML file: a table ``[[rule]]`` for each rule."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import Any, cast

from ziggurat.layers.redaction import hide_arguments
from ziggurat.layers.route.layer import RouteLayer
from ziggurat.layers.route.rule import Rule

__all__ = ["parse_routes", "read_routes"]

KEYS = ("name", "scheme", "suffix", "cidr", "port", "class", "via")

FORM = '[[rule]] tables, e.g. suffix = ".onion" and via = "socks5://127.0.0.1:9050"'


def read_routes(path: str | Path) -> RouteLayer:
    """Read a route from a file.

    Raises:
        OSError: the file cannot be read.
        ValueError: it is not a route; the message is one line that names the file, the rule, the key and what would be
            right.
    """
    try:
        text = Path(path).read_text(encoding="utf-8-sig")  # Windows' editors begin with a BOM
    except UnicodeDecodeError:
        raise ValueError(f"{path} is not valid TOML: not UTF-8") from None
    return parse_routes(text, str(path))


@hide_arguments
def parse_routes(text: str, source: str = "route") -> RouteLayer:
    """Return the route that TOML describes.

    ::

        [[rule]]
        suffix = ".onion"
        via = "socks5://127.0.0.1:9050"

        [[rule]]
        class = ["loopback", "private"]
        via = "direct"

        [[rule]]
        via = ["socks5://127.0.0.1:9050", "http://user:password@proxy.example:3128"]

    The keys are the arguments of `Rule`, with ``class`` for ``class_``. ``via`` is ``direct``, ``refuse``, the URL of a
    proxy, or a list of URLs, of which this machine dials the first.

    Args:
        text: the TOML.
        source: what the error's line begins with.

    Raises:
        ValueError: as in `read_routes`. Secrets are not quoted.
    """
    try:
        content: dict[str, object] = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        # The first line only: Python 3.14 appends the text.
        raise ValueError(f"{source} is not valid TOML: {str(error).splitlines()[0]}") from None
    for key in content:
        if key != "rule":
            near = "; did you mean [[rule]]?" if get_close_matches(key, ["rule", "rules"], 1) else ""
            raise ValueError(f"{source}: unknown key {key!r}{near or f'; expected {FORM}'}")
    tables = content.get("rule")
    if not isinstance(tables, list) or not tables:
        raise ValueError(f"{source}: no rules; expected {FORM}")
    rules = [_rule(table, f"{source}: rule {number}") for number, table in enumerate(cast("list[object]", tables), 1)]
    return RouteLayer(rules)


def _rule(table: object, where: str) -> Rule:
    if not isinstance(table, dict):
        raise ValueError(f"{where} is no table; expected {FORM}")
    given = cast("Mapping[str, object]", table)
    for key in given:
        if key not in KEYS:
            near = get_close_matches(key, KEYS, 1)
            raise ValueError(f"{where}: unknown key {key!r}; {f'did you mean {near[0]}?' if near else _expected()}")
    if "via" not in given:
        raise ValueError(f"{where}: via is missing; expected direct, refuse, a proxy's URL or a list of URLs")
    via, name = given["via"], given.get("name")
    if not isinstance(via, str) and not (
        isinstance(via, list) and all(isinstance(e, str) for e in cast("list[object]", via))
    ):
        raise ValueError(f"{where}: via must be a string or a list of strings: direct, refuse, or URLs of proxies")
    if name is not None and not isinstance(name, str):
        raise ValueError(f"{where}: name must be a string, not {name!r}")
    for key in ("scheme", "suffix", "cidr", "port", "class"):
        if given.get(key) == []:
            raise ValueError(f"{where}: {key} is an empty list, which fits nothing; leave it out to fit everything")
    arguments = {("class_" if key == "class" else key): value for key, value in given.items()}
    try:
        return Rule(**cast("dict[str, Any]", arguments))
    except (TypeError, ValueError) as error:
        raise ValueError(f"{where}: {error}") from None


def _expected() -> str:
    return f"expected {', '.join(KEYS)}"
