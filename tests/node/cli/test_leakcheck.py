from __future__ import annotations

import json
from dataclasses import replace

from ziggurat.layers.leakcheck import Finding, LeakReport, ProxyUse
from ziggurat.node.cli.leakcheck import leak_lines, report_as_json

CLEAN = LeakReport((), (ProxyUse("127.0.0.1:9050", 3, 2), ProxyUse("unix:/run/tor", 1, 1)), 0, True, 2.04, 0)

LEAKED = replace(
    CLEAN,
    findings=(
        Finding(0.5, "curl (7)", "look-up", "10.254.254.53:53", "leak.example", 2),
        Finding(1.25, "probably python3 (8)", "tcp", "192.0.2.77:443"),
    ),
)


def plain(colour: str, text: str) -> str:
    return text


def test_a_clean_run() -> None:
    assert leak_lines(CLEAN, plain) == [
        "proxy 127.0.0.1:9050: 2 connections, 3 tries",
        "proxy unix:/run/tor: 1 connection",
        "the program ran for 2.0 s and was then ended",
        "Clean: nothing went elsewhere.",
    ]


def test_leaks_by_time_and_process() -> None:
    lines = leak_lines(replace(LEAKED, code=3, stopped=False), plain)

    assert lines[:4] == [
        " time  process               what     where",
        "0.500  curl (7)              look-up  leak.example, of 10.254.254.53:53 (2 times)",
        "1.250  probably python3 (8)  tcp      192.0.2.77:443",
        "",
    ]
    assert lines[-1] == "Leaked: 2 things went elsewhere (and the program ended with 3)."


def test_a_run_that_proves_nothing() -> None:
    lines = leak_lines(replace(CLEAN, proxies=(ProxyUse("p", 0, 0),)), plain)

    assert lines[-1] == "Nothing leaked, but that proves nothing: the program never used the proxy."


def test_json_has_all_of_it() -> None:
    report = json.loads(json.dumps(report_as_json(LEAKED)))

    assert (report["schema"], report["ok"], report["failure"]) == (1, False, None)
    assert report["findings"][1] == {
        "at": 1.25,
        "process": "probably python3 (8)",
        "kind": "tcp",
        "where": "192.0.2.77:443",
        "name": None,
        "count": 1,
    }
    assert set(report) - {"schema", "ok", "failure"} == set(LeakReport.__slots__)
