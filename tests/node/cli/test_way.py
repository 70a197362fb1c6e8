from __future__ import annotations

import argparse
from pathlib import Path

import pytest

from ziggurat.layers import EnvironmentProxyLayer, RouteLayer, Socks5Layer
from ziggurat.node.cli.way import add_way_flags, chosen_way
from ziggurat.node.config import SettingsError
from ziggurat.services.uri import Uri

TARGET = Uri.parse("https://api.example")
ROUTE = '[[rule]]\nsuffix = ".example"\nvia = "socks5://127.0.0.1:9050"\n'


def test_a_url_is_the_way_of_every_dial() -> None:
    way = chosen_way("socks5://proxy.corp", None, {})

    assert isinstance(way, RouteLayer)
    decision = way.decide(TARGET)
    assert (decision.rule, decision.layers) == ("--proxy", (Socks5Layer("proxy.corp"),))


def test_env_obeys_the_variables() -> None:
    way = chosen_way("env", None, {"HTTPS_PROXY": "socks5://proxy.corp"})

    assert isinstance(way, EnvironmentProxyLayer)
    assert way.decide(TARGET).rule == "HTTPS_PROXY"


def test_none_is_direct_on_purpose() -> None:
    way = chosen_way("none", None, {})

    assert way is not None
    assert way.decide(TARGET).way == "direct"


def test_a_file_has_rules(tmp_path: Path) -> None:
    path = tmp_path / "routes.toml"
    path.write_text(ROUTE)
    way = chosen_way(None, str(path), {})

    assert way is not None
    assert way.decide(TARGET).rule == "rule 1 (suffix example)"


def test_without_either_flag_nothing_is_chosen() -> None:
    assert chosen_way(None, None, {"HTTPS_PROXY": "socks5://proxy.corp"}) is None


@pytest.mark.parametrize(
    ("proxy", "environ", "line"),
    [
        (
            "ftp://u:S3CRET@proxy",
            {},
            "--proxy: unknown proxy scheme 'ftp'; expected http, https, socks4, socks4a, socks5",
        ),
        ("proxy.corp:1080", {}, "--proxy: a proxy's URL begins with its scheme, but 'proxy.corp:1080' has none"),
        ("", {}, "--proxy: a proxy's URL begins with its scheme"),
        ("socks5://u:S3CRET@proxy:0", {}, "--proxy: bad port"),
        ("direct", {}, "--proxy: bad value 'direct'; expected SCHEME://"),
        ("refuse", {}, "--proxy: bad value 'refuse'; expected SCHEME://"),
        ("env", {"ALL_PROXY": "socks://u:S3CRET@x"}, "--proxy env: ALL_PROXY: unknown proxy scheme 'socks'"),
    ],
)
def test_a_bad_value_is_one_line_without_a_secret(proxy: str, environ: dict[str, str], line: str) -> None:
    with pytest.raises(SettingsError) as caught:
        chosen_way(proxy, None, environ)

    assert str(caught.value).startswith(line)
    assert "S3CRET" not in str(caught.value)
    assert "\n" not in str(caught.value)
    assert "refuse" not in str(caught.value) or proxy == "refuse"


def test_a_bad_file_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"^--route: cannot read /nowhere/r.toml: No such file"):
        chosen_way(None, "/nowhere/r.toml", {})
    path = tmp_path / "r.toml"
    path.write_text("[[rule]]\nport = 1")
    with pytest.raises(SettingsError, match=r"^--route: .*r.toml: rule 1: via is missing"):
        chosen_way(None, str(path), {})
    with pytest.raises(SettingsError, match="--proxy and --route are mutually exclusive"):
        chosen_way("none", str(path), {})


def test_the_flags_are_named_as_the_function_takes_them() -> None:
    parser = argparse.ArgumentParser()
    add_way_flags(parser)

    assert vars(parser.parse_args(["--proxy", "env"])) == {"proxy": "env", "route": None}
    assert vars(parser.parse_args(["--route", "r.toml"])) == {"proxy": None, "route": "r.toml"}
