"""The node's settings as a table, and what each event and each of its keys means, for generate_reference.py."""

from __future__ import annotations

import ast
import dataclasses
import importlib

__all__ = ["KASPAD_MESSAGE", "event_keys", "event_meaning", "key_table", "settings_page"]

KASPAD_MESSAGE = """\
## `KaspadMessage`

The one message of the network, written by protoc: a payload of one type, and two ids. The types are the fields of
`payload` in `node/wire/p2p.proto`.
"""

EVENTS = {
    "dial.started": "a dial begins: a walk down the stack",
    "dial.connected": "the stack has given its stream; the peer has not been spoken to yet",
    "dial.failed": "the peer was not reached, or speaks no HTTP/2; `error` says what to do about it",
    "dial.crashed": "a bug: the dial ended with an error that is none of a dial's; the node goes on",
    "keepalive.skipped": "the stream below has no socket to set TCP keepalive on",
    "no_delay.skipped": "the stream below has no socket to set TCP no-delay on",
    "peer.connected": "a peer has come through the handshake",
    "peer.refused": "no connection came of it: one side said no, or the handshake went wrong",
    "peer.disconnected": "a peer that was connected has gone, and why",
    "flow.failed": "a bug in a flow, perhaps a user's; its peer is disconnected, the others are not",
    "addresses.loaded": "the address book was read from its file",
    "addresses.stored": "new addresses are durable: `kill -9` loses none of them any more",
    "addresses.not_stored": "the address book could not be written, which is tried again after 30 s",
    "addresses.set_aside": "the address book was damaged; it was renamed, and a new one begun",
    "outbound.missing": "there are fewer outbound peers than there should be, so that some are dialled",
    "seeder.answered": "a DNS seeder was looked up",
    "seeder.by_name": "the proxy looks up no names, so that the seeder itself is dialled by its name",
    "seeder.failed": "a DNS seeder was of no help; the next one is asked",
    "node.started": "the node runs; the first line of each run",
    "node.status": "each 60 s: how many peers there are, and should be",
    "node.stopping": "a signal has come; each peer is told",
    "node.stopped": "everything is closed; the last line of each run",
    "settings.ignored": "settings of kaspad's were given that mean nothing here",
    "environment.ignored": "variables that other programs take a proxy from are set, and not obeyed",
    "externalip.ignored": "`--externalip` is not advertised, and why",
}
"""What each event means. The page cannot be written with one that is missing here."""

KEYS = {
    "address": "IP and port, as the user gave them",
    "addresses": "how many addresses the book holds",
    "advertised": "where peers are told that the node is; null: nowhere",
    "count": "how many: addresses that are new, that a seeder knows, that were loaded; peers that are missing",
    "dial": "an id that all events of one dial share, 8 hexadecimal digits",
    "direction": "who has dialled: `inbound` (the peer) or `outbound` (we)",
    "directory": "where the node keeps its data: the app directory's folder of this network",
    "elapsed": "seconds since the dial began, handshake included where there was one; null for an inbound peer",
    "error": "what went wrong, in one line",
    "hint": "what to do about it; null where there is nothing to say",
    "id": "the peer's own id, new in each of its runs: 16 bytes in hexadecimal digits",
    "inbound": "how many peers have dialled us",
    "inbound_limit": "how many may (`--maxinpeers`; 0 when the node listens nowhere)",
    "listen": "IP and port where peers are accepted; null for a node that only dials",
    "more": "how many refusals of the same kind there were in the second before; null for none",
    "moved_to": "the damaged file's new name",
    "names": "a list of settings or variables",
    "network": "as on the wire, e.g. `kaspa-mainnet`",
    "outbound": "how many peers we have dialled",
    "outbound_target": "how many there should be of our own choice (`--outpeers`)",
    "path": "the file's name",
    "peer": "IP or name, and port; an inbound peer's port says nothing",
    "phase": "the step at which the dial failed, see [phases](phases.md)",
    "protocol_version": "the highest version of Kaspa's P2P protocol that the peer speaks",
    "reason": "why, in one line; the peer's own words where it had some",
    "requests": "how many peers the user wants (`--connect`, `--addpeer`), connected or not",
    "seeder": "its name",
    "signal": "`SIGINT` or `SIGTERM`",
    "target": "what is dialled, as a URI; in `outbound.missing` how many peers there should be",
    "total": "how many addresses the file holds now",
    "user_agent": "what the peer calls itself",
    "via": "the proxy, or for an inbound peer `proxied`; null when there is none",
}
"""What each key means, with its unit."""


def event_meaning(event: str) -> str:
    """What an event means.

    Raises:
        LookupError: nobody has said so.
    """
    if event not in EVENTS:
        raise LookupError(f"docs/reference_node.py: what does the event {event} mean?")
    return EVENTS[event]


def event_keys(call: ast.Call) -> list[str]:
    """The keys of an event, also those of ``**asdict(status)``, which is a `ConnectionStatus`."""
    keys: list[str] = []
    for keyword in call.keywords:
        if keyword.arg is not None:
            keys.append(keyword.arg)
        elif isinstance(keyword.value, ast.Call):
            status = importlib.import_module("ziggurat.node.outbound.connection_manager").ConnectionStatus
            keys += [field.name for field in dataclasses.fields(status)]
    return keys


def key_table(keys: set[str]) -> str:
    """What the keys mean.

    Raises:
        LookupError: nobody has said it of one; or somebody has of one that there is not.
    """
    if wrong := keys ^ KEYS.keys():
        raise LookupError(f"docs/reference_node.py: keys of events: {', '.join(sorted(wrong))}")
    rows = "".join(f"| `{key}` | {KEYS[key]} |\n" for key in sorted(keys))
    return f"| key | means |\n|---|---|\n{rows}"


def settings_page() -> str:
    """Every setting, and where it can be given."""
    options = importlib.import_module("ziggurat.node.config.options")
    out = [
        "# Settings\n",
        "Of `ziggurat node`; `probe` and `peers` take those that are marked with \\*. A flag goes over our variable,",
        "that over kaspad's variable, that over the file, and the file over the default.",
        "`ziggurat node --show-config` prints each setting and where it came from.\n",
        "| setting | takes | variable | kaspad's variable | key in a file | means |",
        "|---|---|---|---|---|---|",
    ]
    for option in options.OPTIONS:
        names = [f"`--{option.name}`", *([f"`--{option.alias}`"] if option.alias else [])]
        names += [f"`-{option.short}`"] if option.short else []
        star = "" if option.node_only else "\\*"
        takes = "" if option.read is None else _cell(option.right)
        variables = [f"`{name}`" for name in (option.variable, option.alias_variable) if name]
        kaspad = f"`{option.kaspad}`" if option.kaspad else ""
        key = f"`{option.name}`" if option.in_file else "none"
        many = "; can be repeated" if option.many else ""
        out.append(
            f"| {', '.join(names)}{star} | {takes} | {', '.join(variables)} | {kaspad} | {key} "
            f"| {_cell(option.help)}{many} |"
        )
    ignored = ", ".join(f"`{name}`" for name in sorted((*options.IGNORED_FLAGS, *options.IGNORED_VALUES)))
    out += [
        "\nA setting without a value is a switch: `true` or `false` in a variable and in a file. What can be repeated",
        "is a list in a file, and separated by commas in a variable. An empty `ZIGGURAT_` variable is an error, an",
        "empty `KASPAD_` variable says nothing, and an unknown `ZIGGURAT_` variable is refused by its name.\n",
        "## kaspad's settings that mean nothing here\n",
        f"As flags and as keys they are named in the log (`settings.ignored`) and ignored:\n{ignored}.\n",
        "Any other unknown flag or key is refused by its name, and the command exits with 2.",
    ]
    return "\n".join(out)


def _cell(text: str) -> str:
    return text.replace("|", "\\|")
