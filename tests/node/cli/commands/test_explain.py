from __future__ import annotations

import json
import socket
from pathlib import Path

import pytest

from ziggurat.node.cli import main

ROUTE = """
[[rule]]
suffix = ".onion"
via = "socks5://127.0.0.1:9050"

[[rule]]
class = "private"
via = "refuse"

[[rule]]
scheme = "https"
via = "socks5://user:S3CRET@proxy.corp:1080"
"""


@pytest.fixture(autouse=True)
def _no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing may be dialled or resolved, and nothing of the machine's own settings may matter."""

    def refuse(*args: object, **options: object) -> None:
        raise AssertionError(f"explain used the network: {args}")

    for name in ("getaddrinfo", "create_connection"):
        monkeypatch.setattr(socket, name, refuse)
    monkeypatch.setattr(socket.socket, "connect", refuse)
    for name in ("GRPC_PROXY", "HTTPS_PROXY", "HTTP_PROXY", "ALL_PROXY", "NO_PROXY", "NO_GRPC_PROXY"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)


@pytest.fixture
def route(tmp_path: Path) -> str:
    path = tmp_path / "routes.toml"
    path.write_text(ROUTE)
    return str(path)


def explained(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str]:
    code = main(["explain", *arguments])
    return code, capsys.readouterr().out


def as_json(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, dict[str, object]]:
    code, out = explained(capsys, *arguments, "--json")
    report: dict[str, object] = json.loads(out)
    return code, report


def test_a_route_is_explained(capsys: pytest.CaptureFixture[str], route: str) -> None:
    code, out = explained(capsys, "http://abc.onion", "--route", route)

    assert code == 0
    lines = out.splitlines()
    assert lines[:4] == [
        "target    http://abc.onion:80 (onion)",
        f"rule      rule 1 (suffix onion) of {route}",
        "way       socks5://127.0.0.1:9050",
        "resolves  the proxy 127.0.0.1:9050 resolves abc.onion",
    ]
    assert lines[-1] == "Would dial."
    assert "  SocketConnector()" in lines


@pytest.mark.parametrize(
    ("target", "rule", "message"),
    [
        ("http://10.0.0.1:80", "rule 2 (class private) of", "refused by rule 2 (class private)"),
        ("http://a.example:80", None, "no rule of the route fits; add a rule for it, or one without conditions"),
    ],
)
def test_a_refused_dial_exits_with_1(
    capsys: pytest.CaptureFixture[str], route: str, target: str, rule: str | None, message: str
) -> None:
    code, report = as_json(capsys, target, "--route", route)

    assert (code, report["ok"], report["way"], report["stack"]) == (1, False, "refuse", [])
    assert report["error"] == {"type": "RouteRefused", "message": message}
    assert report["rule"] is None if rule is None else str(report["rule"]).startswith(rule)

    code, out = explained(capsys, target, "--route", route)
    assert (code, out.splitlines()[-1]) == (1, f"Refused: {message}")


def test_what_a_proxys_layer_would_refuse_exits_with_1_too(capsys: pytest.CaptureFixture[str]) -> None:
    code, report = as_json(capsys, "a.example", "--proxy", "socks4://127.0.0.1")

    assert (code, report["ok"], report["way"]) == (1, False, "proxy")
    assert report["error"] == {
        "type": "ConnectError",
        "message": "plain SOCKS4 takes no name (a.example); write socks4a://, which sends it to the proxy",
    }


def test_the_whole_object(capsys: pytest.CaptureFixture[str], route: str) -> None:
    code, report = as_json(capsys, "https://a.example", "--route", route)

    assert code == 0
    assert "S3CRET" not in str(report)
    assert report.pop("stack")
    assert report == {
        "schema": 1,
        "ok": True,
        "target": "https://a.example:443",
        "classes": [],
        "rule": f"rule 3 (scheme https) of {route}",
        "way": "proxy",
        "via": "socks5://***@proxy.corp:1080",
        "resolves": [
            {"name": "a.example", "by": "the proxy proxy.corp:1080"},
            {"name": "proxy.corp", "by": "this machine"},
        ],
        "problems": ["the password for proxy.corp:1080 is sent unencrypted"],
    }


def test_without_a_route_it_is_what_the_node_would_do(capsys: pytest.CaptureFixture[str]) -> None:
    code, report = as_json(capsys, "peer.example", "--testnet", "--socks5-proxy", "127.0.0.1")

    assert code == 0
    assert (report["target"], report["rule"]) == ("http://peer.example:16211", "socks5-proxy (--socks5-proxy)")
    assert report["via"] == "socks5://127.0.0.1:9050"
    assert "Isolated" in str(report["stack"])


def test_the_node_of_this_machine_dials_directly_by_default(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "http://proxy.corp:3128")
    code, report = as_json(capsys, "192.0.2.1")

    assert (code, report["rule"], report["way"]) == (0, "socks5-proxy (default)", "direct")
    assert report["problems"] == ["HTTPS_PROXY is set, and the node does not obey it"]


def test_an_https_proxy_of_the_node_has_tls_below_it(capsys: pytest.CaptureFixture[str]) -> None:
    code, report = as_json(capsys, "peer.example:443", "--proxy", "https://u:S3CRET@proxy.corp")

    assert (code, report["rule"], report["problems"]) == (0, "proxy (--proxy)", [])
    stack = report["stack"]
    assert isinstance(stack, list)
    assert [layer.partition("(")[0] for layer in stack][2:4] == ["HttpConnectLayer", "TlsLayer"]
    assert "S3CRET" not in str(report)


def test_env_is_what_the_variables_say(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "socks5://proxy.corp")
    monkeypatch.setenv("NO_PROXY", "near.example, 10.*")

    code, report = as_json(capsys, "https://a.example", "--proxy", "env")
    assert (code, report["rule"], report["via"]) == (0, "HTTPS_PROXY", "socks5://proxy.corp")
    assert report["problems"] == ["the item '10.*' of NO_PROXY makes no sense and fits nothing"]

    code, report = as_json(capsys, "https://near.example", "--proxy=env")
    assert (code, report["rule"], report["way"]) == (0, "NO_PROXY (near.example)", "direct")

    code, report = as_json(capsys, "http://a.example", "--proxy=env")
    assert (code, report["way"]) == (1, "refuse")


def test_a_variable_that_a_cgi_program_does_not_obey_is_named(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://evil")
    monkeypatch.setenv("REQUEST_METHOD", "GET")

    _, report = as_json(capsys, "http://a.example", "--proxy=env")
    assert report["problems"] == ["HTTP_PROXY is set, and not obeyed in a CGI program (REQUEST_METHOD is set)"]


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (["h:0"], "bad target 'h:0'"),
        (["a b"], "bad target 'a b'"),
        (["ftp://h"], "bad target 'ftp://h' (bad scheme: 'ftp'"),
        (["http://u:S3CRET@h"], "bad target (a http target takes no credentials"),
        (["u:S3CRET@h"], "bad target; expected SCHEME://HOST[:PORT], unix:/PATH, IP[:PORT] or NAME[:PORT]"),
        (["224.0.0.1:80"], "is a multicast address"),
        (["h", "--route", "/nowhere"], "--route: cannot read /nowhere: No such file or directory"),
        (["h", "--route", "/x", "--proxy", "none"], "--proxy and --route are mutually exclusive"),
        (["h", "--route", "/x", "--socks5-proxy", "none"], "--socks5-proxy and --route are mutually exclusive"),
        (["h", "--socks5-proxy", "a", "--proxy", "env"], "are the same setting; give only one"),
        (["h", "--socks5-proxy", "a", "--proxy", "http://b"], "are the same setting; give only one"),
        (["h", "--proxy", "ftp://u:S3CRET@b"], "--proxy: bad value 'ftp://***@b' (bad proxy scheme 'ftp'"),
        ([], "TARGET"),
    ],
)
def test_bad_arguments_are_one_line_and_exit_with_2(
    capsys: pytest.CaptureFixture[str], arguments: list[str], line: str
) -> None:
    with pytest.raises(SystemExit) as caught:
        main(["explain", *arguments])

    assert caught.value.code == 2
    error = capsys.readouterr().err
    assert line in error
    assert "S3CRET" not in error


ONION = "2gzyxa5ihm7nsggfxnu52rck2vv4rvmdlkiu3zzui5du4xyclen53wid.onion"


@pytest.mark.parametrize(
    ("target", "arguments", "lines"),
    [
        (
            ONION,
            ["--onion=tor", "--socks5-proxy=proxy.corp"],
            [
                "rule      onion (--onion)",
                "way       socks5://tor:9050",
                f"resolves  the proxy tor:9050 resolves {ONION}",
            ],
        ),
        (
            "192.0.2.1",
            ["--proxy-net=ipv4=http://u:S3CRET@proxy.corp:3128", "--onion=tor"],
            ["rule      proxy-net (--proxy-net)", "way       http://***:***@proxy.corp:3128"],
        ),
        (
            "10.0.0.1",
            ["--proxy-net=ipv4=direct", "--onion=tor"],
            ["rule      proxy-net (--proxy-net)", "way       direct"],
        ),
        (
            "a.example",
            ["--socks5-proxy=tor", "--proxy-net=ipv4=direct"],
            ["rule      socks5-proxy (--socks5-proxy)", "resolves  the proxy tor:9050 resolves a.example"],
        ),
        (
            "a.example",
            ["--tor-only", "--onion=tor"],
            ["rule      tor-only (--tor-only)", "way       socks5://tor:9050"],
        ),
    ],
)
def test_the_way_of_each_network_is_explained(
    capsys: pytest.CaptureFixture[str], target: str, arguments: list[str], lines: list[str]
) -> None:
    code, out = explained(capsys, target, *arguments)

    assert code == 0
    assert set(lines) <= set(out.splitlines())
    assert "S3CRET" not in out


@pytest.mark.parametrize(
    ("target", "arguments", "reason"),
    [
        (ONION, [], "an onion service is reached through Tor only; --onion 127.0.0.1:9050 names its proxy"),
        (ONION, ["--socks5-proxy=tor", "--onion=0"], "onion forbids onion: its proxy is 0"),
        ("192.0.2.1", ["--onion=tor"], "ipv4 has no proxy, and once any is set, none is dialled directly"),
        ("a.example", ["--onion=tor"], "ipv4 has no proxy, and once any is set, none is dialled directly"),
    ],
)
def test_a_network_without_a_way_is_refused(
    capsys: pytest.CaptureFixture[str], target: str, arguments: list[str], reason: str
) -> None:
    code, report = as_json(capsys, target, *arguments)

    assert (code, report["way"], report["stack"]) == (1, "refuse", [])
    error = report["error"]
    assert isinstance(error, dict)
    assert str(error["message"]).startswith(reason)


def test_what_the_node_does_not_dial_by_itself_is_noted(capsys: pytest.CaptureFixture[str]) -> None:
    code, report = as_json(capsys, "192.0.2.1", "--socks5-proxy=tor", "--onlynet=onion")

    assert code == 0
    assert report["problems"] == [
        "the node dials it only if you name it, with --connect or --addpeer: onlynet leaves out ipv4"
    ]
