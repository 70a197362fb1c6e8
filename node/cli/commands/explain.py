"""``ziggurat explain``: where a dial to a target would go, and why; dials nothing."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator, Mapping
from dataclasses import replace

from ziggurat.layers import EnvironmentProxyLayer
from ziggurat.layers.route import Decision
from ziggurat.node.address import parse_peer_address
from ziggurat.node.cli.exit_code import FAILED, OK
from ziggurat.node.cli.explain import Explanation, explain
from ziggurat.node.cli.terminal import Paint, indented, paint_for, print_lines
from ziggurat.node.cli.way import ENVIRONMENT, ChosenWay, add_route_flag, chosen_way
from ziggurat.node.config import PROXY_SETTINGS, Resolved, Settings, SettingsError, add_settings
from ziggurat.node.connection_handler import ConnectionHandler
from ziggurat.services.errors import ConnectError, RouteRefused, fold
from ziggurat.services.uri import UNIX, Uri

__all__ = ["add_parser", "run", "take_way"]

SCHEMA = 1

TARGET_SYNTAX = "SCHEME://HOST[:PORT], unix:/PATH, IP[:PORT] or NAME[:PORT]"

LEAF = "SocketConnector()"


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> argparse.ArgumentParser:  # pyright: ignore[reportPrivateUsage]
    """Add the parser of the command's arguments."""
    parser = commands.add_parser(
        "explain",
        help="say where a dial would go, and why, without dialling",
        description="Say which rule decides about a target, which way a dial to it would go, who would resolve the "
        "name, the stack, and what would or may go wrong. Dials and resolves nothing. With --route the rules of a file "
        "decide, with --proxy env the variables HTTPS_PROXY and so on, else the node's settings: what the node would "
        "do. Exits with 0 when something would be dialled, 1 when the dial is refused, 2 on bad arguments.",
        allow_abbrev=False,
    )
    help = f"{TARGET_SYNTAX} (default port: the scheme's, or the network's)"
    parser.add_argument("target", metavar="TARGET", help=help)
    add_settings(parser, node=False)
    add_route_flag(parser)
    parser.add_argument("--json", action="store_true", help="print one JSON object on stdout, and nothing else")
    return parser


def take_way(options: argparse.Namespace, environ: Mapping[str, str]) -> ChosenWay | None:
    """Return the way that ``--route`` or ``--proxy env`` chooses; ``None`` leaves it to the node's settings.

    Must be called before the settings are resolved: ``env`` is none of the node's.

    Raises:
        SettingsError: a bad value, or flags that exclude each other.
    """
    given = [f"--{name}" for name in PROXY_SETTINGS if hasattr(options, name.replace("-", "_"))]
    if options.route is not None and given:
        raise SettingsError(f"{given[0]} and --route are mutually exclusive: a rule names its proxy by via")
    if getattr(options, "proxy", None) != ENVIRONMENT:
        return chosen_way(None, options.route, environ)
    if len(given) > 1:
        raise SettingsError("--socks5-proxy and --proxy are the same setting; give only one")
    vars(options).pop("proxy")
    return chosen_way(ENVIRONMENT, None, environ)


def run(options: argparse.Namespace, resolved: Resolved, way: ChosenWay | None) -> int:
    """Run the command and return its exit code.

    Raises:
        SettingsError: the target is invalid.
    """
    target = _target(options.target, resolved.settings)
    if way is None:
        handler = ConnectionHandler(resolved.settings.ways)
        decision = _by_settings(handler, target, resolved)
        stack = [] if decision.way == "refuse" else str(handler.stack(target)).splitlines()
        result = explain(target, decision, stack, list(_notes_of_settings(target, resolved)))
    else:
        decision = way.decide(target)
        if options.route is not None and decision.rule is not None:
            decision = replace(decision, rule=f"{decision.rule} of {options.route}")
        stack = [*map(repr, decision.layers), repr(decision.connector) if decision.connector else LEAF]
        result = explain(target, decision, () if decision.way == "refuse" else stack, _notes(way))
    if options.json:
        print_lines(json.dumps(_as_json(result)))
    else:
        print_lines(*_as_text(result, paint_for(sys.stdout)))
    return OK if result.ok else FAILED


def _target(text: str, settings: Settings) -> Uri:
    try:
        if "://" in text or text.partition(":")[0].lower() in UNIX:
            return Uri.parse(text)
        return parse_peer_address(text, settings.network.port).uri()
    except ValueError as error:
        shown = "" if "@" in text else f" {text!r}"  # it may contain a password
        reason = "" if "@" in text and "credentials" not in str(error) else f" ({error})"
        raise SettingsError(f"bad target{shown}{reason}; expected {TARGET_SYNTAX}") from None


def _by_settings(handler: ConnectionHandler, target: Uri, resolved: Resolved) -> Decision:
    """Return what the node does, by the table of its ways."""
    way = handler.ways.of(target)
    general = next((name for name in PROXY_SETTINGS if name in resolved.values), PROXY_SETTINGS[0])
    name = general if way.setting == PROXY_SETTINGS[0] else way.setting
    rule = f"{name} ({resolved.sources.get(name, 'default')})"
    return Decision(way.kind, rule, str(way), handler.way_layers(way), reason=way.refusal)


def _notes_of_settings(target: Uri, resolved: Resolved) -> Iterator[str]:
    ways = resolved.settings.ways
    way = ways.of(target)
    if way.refusal is None and way.network not in ways.dialled:
        setting = "tor-only" if ways.tor_only else "onlynet"
        yield f"the node dials it only if you name it, with --connect or --addpeer: {setting} leaves out {way.network}"
    for name in resolved.ignored_variables:
        yield f"{name} is set, and the node does not obey it"


def _notes(way: ChosenWay) -> list[str]:
    if not isinstance(way, EnvironmentProxyLayer):
        return []
    notes = [f"{name} is set, and not obeyed in a CGI program (REQUEST_METHOD is set)" for name in way.ignored]
    return notes + [f"the item {item!r} of NO_PROXY makes no sense and fits nothing" for item in way.no_proxy_ignored]


def _as_text(result: Explanation, paint: Paint) -> list[str]:
    decision = result.decision
    classes = f" ({', '.join(result.classes)})" if result.classes else ""
    rows = [
        ("target", f"{result.target}{classes}"),
        ("rule", decision.rule or "none fits"),
        ("way", decision.via),
    ]
    rows += [("resolves", f"{who} resolves {name}") for name, who in result.resolves]
    if not result.resolves and result.ok and decision.connector is None:
        rows.append(("resolves", "nobody: there is no name"))
    lines = [f"{paint('bold', f'{name:9}')} {fold(text)}" for name, text in rows]
    if result.stack:
        lines += ["", paint("bold", "The stack, outermost layer first:")]
        lines += [line for layer in result.stack for line in indented(layer)]
    if result.problems:
        lines += ["", paint("bold", "What would or may go wrong:")]
        lines += [line for problem in result.problems for line in indented(problem)]
    lines.append("")
    if result.refusal is not None:
        return [*lines, paint("red", fold(f"Refused: {result.refusal}"))]
    return [*lines, paint("green", "Would dial.")]


def _as_json(result: Explanation) -> dict[str, object]:
    report: dict[str, object] = {
        "schema": SCHEMA,
        "ok": result.ok,
        "target": str(result.target),
        "classes": list(result.classes),
        "rule": result.decision.rule,
        "way": result.decision.way,
        "via": result.decision.via,
        "resolves": [{"name": name, "by": who} for name, who in result.resolves],
        "stack": list(result.stack),
        "problems": list(result.problems),
    }
    if result.refusal is not None:
        kind = RouteRefused if result.decision.way == "refuse" else ConnectError
        report["error"] = {"type": kind.__name__, "message": result.refusal}
    return report
