from __future__ import annotations

from pathlib import Path

import pytest

from ziggurat.layers.route import RouteLayer, Rule, parse_routes, read_routes

TEXT = """
[[rule]]
suffix = ".onion"
via = "socks5://127.0.0.1:9050"

[[rule]]
name = "office"
class = ["private", "loopback"]
cidr = ["10.0.0.0/8", "::1"]
via = "direct"

[[rule]]
scheme = "https"
port = [443, 8443]
via = ["socks5://127.0.0.1:9050", "socks5://user:p%40ss@proxy.example:3128"]

[[rule]]
via = "refuse"
"""


def test_a_file_has_the_rules_that_code_has() -> None:
    assert parse_routes(TEXT) == RouteLayer(
        [
            Rule(suffix=".onion", via="socks5://127.0.0.1:9050"),
            Rule(name="office", class_=["private", "loopback"], cidr=["10.0.0.0/8", "::1"], via="direct"),
            Rule(
                scheme="https",
                port=[443, 8443],
                via=["socks5://127.0.0.1:9050", "socks5://user:p%40ss@proxy.example:3128"],
            ),
            Rule(via="refuse"),
        ]
    )


@pytest.mark.parametrize("mark", ["", "\ufeff"])
def test_a_file_may_begin_with_a_byte_order_mark(tmp_path: Path, mark: str) -> None:
    path = tmp_path / "routes.toml"
    path.write_text(mark + TEXT, encoding="utf-8")

    assert read_routes(path) == read_routes(str(path)) == parse_routes(TEXT)


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("", "r.toml: no rules; expected [[rule]] tables"),
        ("rule = 7", "r.toml: no rules; expected"),
        ("[rule]\nvia = 'direct'", "r.toml: no rules; expected [[rule]] tables"),
        ("[[rules]]\nvia = 'direct'", "r.toml: unknown key 'rules'; did you mean [[rule]]?"),
        ("listen = 7\n[[rule]]\nvia='direct'", "r.toml: unknown key 'listen'; expected [[rule]] tables"),
        ("rule = [7]", "r.toml: rule 1 is no table"),
        ("[[rule]]\nsufix = 'a'\nvia='direct'", "r.toml: rule 1: unknown key 'sufix'; did you mean suffix?"),
        ("[[rule]]\nxyz = 'a'\nvia='direct'", "r.toml: rule 1: unknown key 'xyz'; expected name, scheme, suffix,"),
        ("[[rule]]\nclass_ = 'onion'\nvia='direct'", "did you mean class?"),
        ("[[rule]]\nvia='direct'\n[[rule]]\nport = 1", "r.toml: rule 2: via is missing; expected direct, refuse,"),
        ("[[rule]]\nvia = 7", "r.toml: rule 1: via must be a string or a list of strings"),
        ("[[rule]]\nvia = [7]", "via must be a string or a list of strings"),
        ("[[rule]]\nvia = []", "r.toml: rule 1: bad via: a chain of proxies is empty"),
        ("[[rule]]\nvia = 'ftp://x'", "r.toml: rule 1: bad via: unknown proxy scheme 'ftp'; expected http,"),
        ("[[rule]]\nvia = 'direct'\nname = 7", "r.toml: rule 1: name must be a string, not 7"),
        ("[[rule]]\nvia = 'direct'\nport = '80'", "r.toml: rule 1: bad port: '80'; expected a number from 1 to 65535"),
        ("[[rule]]\nvia = 'direct'\nport = 8.5", "r.toml: rule 1: port must be a value or a list"),
        ("[[rule]]\nvia = 'direct'\nsuffix = []", "r.toml: rule 1: suffix is an empty list, which fits nothing"),
        ("[[rule]]\nvia = 'direct'\nsuffix = {a = 1}", "r.toml: rule 1: suffix must be a value or a list"),
        ("[[rule]\n", "r.toml is not valid TOML: "),
    ],
)
def test_what_is_wrong_is_one_line_that_names_it(text: str, line: str) -> None:
    with pytest.raises(ValueError) as caught:  # noqa: PT011 - the whole line is compared
        parse_routes(text, "r.toml")

    assert line in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_password_is_in_no_error() -> None:
    with pytest.raises(ValueError, match="rule 1") as caught:
        parse_routes("[[rule]]\nvia = 'socks5://u:secret@host:0'")

    assert "secret" not in str(caught.value)


def test_a_file_that_is_no_text_or_not_there(tmp_path: Path) -> None:
    path = tmp_path / "routes.toml"
    with pytest.raises(FileNotFoundError):
        read_routes(path)
    path.write_bytes(b"\xff\xfe")
    with pytest.raises(ValueError, match=r"routes.toml is not valid TOML: not UTF-8"):
        read_routes(path)
