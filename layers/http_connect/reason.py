"""What a proxy says about its refusal: one clean line from its status, its header fields, and its page."""

from __future__ import annotations

import html
import re
from http import HTTPStatus

from ziggurat.layers.http_connect.exchange import Response

__all__ = ["needs_body", "offered_schemes", "reason", "status_line"]

MAX_REASON = 160
"""Characters of the proxy's own words."""

MAX_SCHEMES = 8

_QUOTED = re.compile(r'"(?:[^"\\]|\\.)*"')
_SCHEME = re.compile(r"(?:^|,)\s*([A-Za-z][\w!#$&.+^`|~-]*)(?=\s+[^\s=,]|\s*(?:,|$))", re.ASCII)
_TITLE = re.compile(r"<title[^>]*>([^<]*)", re.IGNORECASE)
_HTML = re.compile(r"<(?:!doctype|html|head|body|title|h1|p)\b", re.IGNORECASE)
_WORD = re.compile(r"\w+")


def status_line(response: Response) -> str:
    """Return the status and its phrase, the standard one if the proxy sends none."""
    phrase = response.phrase.strip()
    if not phrase:
        try:
            phrase = HTTPStatus(response.status).phrase
        except ValueError:
            phrase = ""
    return f"{response.status} {phrase[:MAX_REASON]}".strip()


def needs_body(response: Response) -> bool:
    """Whether the body may tell more than the head: it is text, and no field gives the reason."""
    kind = response.tokens("content-type")
    text = not kind or any(each.startswith(("text/", "application/xhtml")) for each in kind)
    return text and not response.tokens("content-encoding") - {"identity"} and not _from_fields(response)


def reason(response: Response, body: bytes) -> str:
    """Return the proxy's own reason, without the status; empty if it gives none.

    In this order: ``Proxy-Status`` (RFC 9209), squid's ``X-Squid-Error``, the title of its page, its plain text.
    """
    text = _from_fields(response) or (_from_body(body) if needs_body(response) else "")
    text = " ".join(text.split())
    # "403 Forbidden" as the title of a 403 says nothing.
    if {word.lower() for word in _WORD.findall(text)} <= {w.lower() for w in _WORD.findall(status_line(response))}:
        return ""
    return text if len(text) <= MAX_REASON else text[: MAX_REASON - 3] + "..."


def offered_schemes(challenges: tuple[str, ...]) -> tuple[str, ...]:
    """Return the names of the authentication schemes in the values of ``Proxy-Authenticate``."""
    found = [name for value in challenges for name in _SCHEME.findall(_QUOTED.sub("q", value))]
    return tuple(dict.fromkeys(name[:30] for name in found))[:MAX_SCHEMES]


def _from_fields(response: Response) -> str:
    # The last item is the one of the proxy closest to us.
    for value in reversed(response.all("proxy-status")):
        error = re.search(r";\s*error\s*=\s*\"?([\w-]+)", value)
        details = re.search(r';\s*details\s*=\s*"((?:[^"\\]|\\.)*)"', value)
        text = ": ".join(each[1] for each in (error, details) if each is not None)
        if text:
            return text
    for value in response.all("x-squid-error"):
        return value.partition(" ")[0]  # the number behind the name is the system's error
    return ""


def _from_body(body: bytes) -> str:
    try:
        text = body.decode()
    except UnicodeDecodeError:
        text = body.decode("latin-1")
    title = _TITLE.search(text)
    if title is not None:
        return html.unescape(title[1])
    if _HTML.search(text):
        return ""
    return next((line for line in text.splitlines() if line.strip()), "")
