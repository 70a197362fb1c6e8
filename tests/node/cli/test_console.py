from __future__ import annotations

import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ziggurat.node.cli.console import SENTENCES, ConsoleRenderer, sentence

NODE = Path(__file__).parents[3] / "node"
LAYERS = Path(__file__).parents[3] / "layers"


@pytest.mark.parametrize(
    ("event", "words"),
    [
        (
            {"event": "dial.connected", "target": "http://h:1", "via": "tor:9050", "elapsed": 0.5},
            "reached http://h:1 through tor:9050 in 0.50 s",
        ),
        (
            {
                "event": "dial.failed",
                "target": "http://h:1",
                "via": None,
                "phase": "tcp",
                "elapsed": 1,
                "error": "ConnectRefused: connection refused",
            },
            "could not reach http://h:1: tcp failed after 1.00 s: ConnectRefused: connection refused",
        ),
        (
            {
                "event": "peer.connected",
                "peer": "h:1",
                "direction": "outbound",
                "via": "tor:9050",
                "elapsed": 1.5,
                "user_agent": "/k:1/",
                "protocol_version": 11,
            },
            "connected to peer h:1 through tor:9050 in 1.50 s (/k:1/, protocol 11)",
        ),
        (
            {
                "event": "peer.connected",
                "peer": "h:1",
                "direction": "inbound",
                "user_agent": "",
                "protocol_version": 10,
            },
            "inbound peer h:1 connected (no user agent, protocol 10)",
        ),
        (
            {"event": "peer.refused", "peer": "h:1", "reason": "wrong network", "more": 3, "hint": "see --devnet"},
            "no connection to peer h:1: wrong network (and 3 more like it); see --devnet",
        ),
        ({"event": "peer.disconnected", "peer": "h:1", "reason": "it left"}, "peer h:1 disconnected: it left"),
        ({"event": "ban.added", "what": "192.0.2.7", "until": "2026-01-02"}, "banned 192.0.2.7 until 2026-01-02"),
        ({"event": "ban.added", "what": "192.0.2.7", "until": None}, "banned 192.0.2.7 forever"),
        (
            {
                "event": "node.status",
                "outbound": 3,
                "outbound_target": 8,
                "inbound": 1,
                "inbound_limit": 128,
                "addresses": 40,
            },
            "3 of 8 outbound peers, 1 of at most 128 inbound, 40 known addresses",
        ),
        (
            {
                "event": "node.status",
                "outbound": 3,
                "outbound_target": 8,
                "inbound": 1,
                "inbound_limit": 128,
                "addresses": 40,
                "tunnels": [
                    {"network": "onion", "circuit": "17", "isolation": "dial"},
                    {"network": "ipv4", "circuit": "18", "isolation": "dial"},
                    {"network": "onion", "circuit": None, "isolation": "none"},
                ],
            },
            "3 of 8 outbound peers, 1 of at most 128 inbound, 40 known addresses; through a proxy: 1 ipv4, 2 onion "
            "on 2 circuits, 1 not isolated",
        ),
        (
            {"event": "node.started", "network": "kaspa-devnet", "listen": None, "via": "x:1", "directory": "/d"},
            "node started on kaspa-devnet: not listening, dialling through x:1; data in /d",
        ),
        (
            {
                "event": "node.started",
                "network": "kaspa-mainnet",
                "listen": "0.0.0.0:16111",
                "advertised": "8.8.4.4:16111",
                "directory": "/d",
            },
            "node started on kaspa-mainnet: listening on 0.0.0.0:16111 (advertised as 8.8.4.4:16111), "
            "dialling directly; data in /d",
        ),
        (
            {"event": "environment.ignored", "names": ["ALL_PROXY"]},
            "ignored ALL_PROXY: set a proxy with --socks5-proxy",
        ),
    ],
    ids=lambda value: value["event"] if isinstance(value, dict) else "",
)
def test_an_event_becomes_a_sentence(event: dict[str, object], words: str) -> None:
    assert sentence(event) == words


def test_an_unknown_event_shows_its_keys_and_values() -> None:
    assert sentence({"event": "custom.event", "level": "info", "a": 1, "b": None}) == "a=1"


def test_every_event_of_the_node_has_a_sentence() -> None:
    sources = [path.read_text() for path in (*NODE.rglob("*.py"), *LAYERS.glob("*.py")) if "_pb2" not in path.name]
    written = {
        name for text in sources for name in re.findall(r'write_event\(\s*[\w.]+,\s*[^()]*?"([a-z]+\.[a-z_]+)"', text)
    }

    assert written >= {"node.status", "peer.connected", "dial.failed", "addresses.stored"}
    assert written <= set(SENTENCES)


@given(st.sampled_from(sorted(SENTENCES)), st.text())
def test_no_peer_can_forge_a_second_line_and_no_missing_key_is_an_error(event: str, text: str) -> None:
    text = sentence({"event": event, "peer": text, "reason": text, "user_agent": text, "error": text})

    assert text.isprintable()


def test_a_line_has_the_time_the_sentence_and_the_event_name() -> None:
    render = ConsoleRenderer(lambda colour, text: text)

    assert render(None, "info", {"event": "node.stopped", "level": "info", "timestamp": "T"}) == (
        "T node stopped [node.stopped]"
    )


def test_the_time_is_shown_to_the_second() -> None:
    render = ConsoleRenderer(lambda colour, text: text)
    line = render(None, "info", {"event": "node.stopped", "timestamp": "2026-11-23T08:18:28.120315Z"})

    assert line == "2026-11-23T08:18:28Z node stopped [node.stopped]"


def test_a_warning_is_coloured_and_a_traceback_follows_on_its_own_lines() -> None:
    render = ConsoleRenderer(lambda colour, text: f"<{colour}>{text}")
    line = render(None, "warning", {"event": "x", "level": "warning", "timestamp": "T", "exception": "Traceback\n .."})

    assert "<yellow>" in line
    assert line.endswith("\nTraceback\n ..")


def step(render: ConsoleRenderer, progress: int, level: str = "info") -> str:
    event = {"event": "tor.bootstrap", "level": level, "progress": progress, "summary": "Loading", "timestamp": "T"}
    return render(None, "info", event)


def test_on_a_terminal_a_step_of_tors_start_replaces_the_one_before() -> None:
    render = ConsoleRenderer(lambda colour, text: text, moving=True)

    assert step(render, 5) == "T Tor starts: 5%, Loading [tor.bootstrap]"
    assert step(render, 10) == "\x1b[1A\x1b[2KT Tor starts: 10%, Loading [tor.bootstrap]"
    assert step(render, 10, "warning") == "T Tor starts: 10%, Loading [tor.bootstrap]"  # neither replaces
    assert step(render, 15) == "T Tor starts: 15%, Loading [tor.bootstrap]"  # nor is replaced
    render(None, "info", {"event": "node.stopped", "timestamp": "T"})
    assert step(render, 20) == "T Tor starts: 20%, Loading [tor.bootstrap]"


def test_elsewhere_each_step_is_a_line() -> None:
    render = ConsoleRenderer(lambda colour, text: text)

    assert step(render, 5) == "T Tor starts: 5%, Loading [tor.bootstrap]"
    assert step(render, 10) == "T Tor starts: 10%, Loading [tor.bootstrap]"
