"""The proxy's own reason, from what proxies really send."""

from __future__ import annotations

import pytest

from ziggurat.layers.http_connect.exchange import Response
from ziggurat.layers.http_connect.reason import needs_body, offered_schemes, reason, status_line

HTML = ("content-type", "text/html")


def response(*fields: tuple[str, str], status: int = 403, phrase: str = "Forbidden") -> Response:
    return Response(status, phrase, fields, "1.1")


@pytest.mark.parametrize(
    ("fields", "text"),
    [
        ([("proxy-status", 'h2o; error=dns_error; rcode=NXDOMAIN; details="no such host"')], "dns_error: no such host"),
        ([("proxy-status", "a; error=loop"), ("proxy-status", "b; received-status=403")], "loop"),
        ([("proxy-status", 'a;details="only text"')], "only text"),
        ([("x-squid-error", "ERR_ACCESS_DENIED 0")], "ERR_ACCESS_DENIED"),
        ([("x-squid-error", "ERR_CONNECT_FAIL 111")], "ERR_CONNECT_FAIL"),
        ([("proxy-status", "a"), ("x-squid-error", "ERR_DNS_FAIL 0")], "ERR_DNS_FAIL"),
        ([("x-squid-error", "")], ""),
    ],
)
def test_a_field_gives_the_reason(fields: list[tuple[str, str]], text: str) -> None:
    assert reason(response(*fields, HTML), b"<title>else</title>") == (text or "else")
    assert needs_body(response(*fields)) is (text == "")


@pytest.mark.parametrize(
    ("body", "text"),
    [
        (b"<html><head><title>ERROR: The requested\n URL</title>", "ERROR: The requested URL"),
        (b"<TITLE lang=en>Zugriff &lt;verweigert&gt;</TITLE>", "Zugriff <verweigert>"),
        ("<title>Доступ запрещён</title>".encode(), "Доступ запрещён"),
        (b"<title>caf\xe9</title>", "café"),
        (b"<title>cut off he", "cut off he"),
        (b"<title>403 Forbidden</title><h1>403 Forbidden</h1>", ""),  # nginx: says nothing more
        (b"<html><body><h1>no title</h1>", ""),
        (b"\n\n  blocked by policy 17\nmore", "blocked by policy 17"),
        (b"Forbidden", ""),
        (b"", ""),
    ],
)
def test_the_body_gives_the_reason(body: bytes, text: str) -> None:
    assert reason(response(HTML), body) == text
    assert reason(response(), body) == text


@pytest.mark.parametrize("field", [("content-type", "application/octet-stream"), ("content-encoding", "gzip")])
def test_a_body_that_is_no_text_is_not_read(field: tuple[str, str]) -> None:
    assert not needs_body(response(field))
    assert reason(response(field), b"<title>x</title>") == ""


def test_a_long_reason_is_cut() -> None:
    assert reason(response(HTML), b"<title>" + b"long " * 100) == ("long " * 100)[:157] + "..."


@pytest.mark.parametrize(
    ("status", "phrase", "line"),
    [(403, "Forbidden port", "403 Forbidden port"), (403, " ", "403 Forbidden"), (499, "", "499"), (999, "", "999")],
)
def test_the_status_has_a_phrase_if_there_is_one(status: int, phrase: str, line: str) -> None:
    assert status_line(response(status=status, phrase=phrase)) == line


@pytest.mark.parametrize(
    ("challenges", "schemes"),
    [
        ((), ()),
        (("NTLM",), ("NTLM",)),
        (("Negotiate", "NTLM", 'Basic realm="corp"'), ("Negotiate", "NTLM", "Basic")),
        (("Negotiate, NTLM",), ("Negotiate", "NTLM")),
        (('Digest realm="a, Basic b", nonce = "x", qop=auth, Basic realm="y"',), ("Digest", "Basic")),
        (("NTLM TlRMTVNTUAACAAAA==, Basic realm=x",), ("NTLM", "Basic")),
        (("Basic realm=x", "Basic realm=y"), ("Basic",)),
        (('realm="no scheme"', "=", ","), ()),
        (("x" * 100,), ("x" * 30,)),
        (tuple(f"s{n}" for n in range(50)), tuple(f"s{n}" for n in range(8))),
    ],
)
def test_the_schemes_of_a_challenge_are_named(challenges: tuple[str, ...], schemes: tuple[str, ...]) -> None:
    assert offered_schemes(challenges) == schemes
