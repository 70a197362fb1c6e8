from __future__ import annotations

import argparse
from pathlib import Path

import pytest

from ziggurat.node.config import Resolved, add_settings, resolve
from ziggurat.node.config.settings import SettingsError


def read(*arguments: str, file: Path | None = None, node: bool = True, **environ: str) -> Resolved:
    parser = argparse.ArgumentParser(allow_abbrev=False)
    add_settings(parser, node=node)
    flags = [*arguments, *(["--configfile", str(file)] if file else [])]
    return resolve(parser.parse_args(flags), environ)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "node.toml"
    path.write_text("outpeers = 4")
    return path


def test_flags_override_our_variables_then_kaspads_then_the_file_then_the_defaults(file: Path) -> None:
    kaspads = {"KASPAD_OUTPEERS": "3"}
    ours = {"ZIGGURAT_OUTPEERS": "2"}
    rounds = [
        (read("--outpeers=1", file=file, **ours, **kaspads), 1, "--outpeers"),
        (read(file=file, **ours, **kaspads), 2, "ZIGGURAT_OUTPEERS"),
        (read(file=file, **kaspads), 3, "KASPAD_OUTPEERS"),
        (read(file=file), 4, str(file)),
        (read(), 8, "default"),
    ]

    for resolved, value, source in rounds:
        assert (resolved.settings.outpeers, resolved.sources["outpeers"]) == (value, source)


@pytest.mark.parametrize("flag", ["--socks5-proxy", "--proxy"])
def test_a_proxy_has_two_names(flag: str) -> None:
    assert str(read(flag, "tor").settings.proxy) == "socks5://tor:9050"


def test_the_two_names_in_one_place_are_an_error(file: Path) -> None:
    with pytest.raises(SettingsError, match=r"^--socks5-proxy and --proxy are the same setting; give only one$"):
        read("--socks5-proxy=tor", "--proxy=http://u:S3CRET@proxy")
    with pytest.raises(SettingsError, match=r"^ZIGGURAT_SOCKS5_PROXY and ZIGGURAT_PROXY are the same setting"):
        read(ZIGGURAT_PROXY="a", ZIGGURAT_SOCKS5_PROXY="b")
    file.write_text("proxy = 'a'\nsocks5-proxy = 'b'")
    with pytest.raises(SettingsError, match=r"toml: socks5-proxy and .*toml: proxy are the same setting"):
        read("-C", str(file))


@pytest.mark.parametrize(
    ("arguments", "environ", "proxy"),
    [
        (["--socks5-proxy=tor"], {"ZIGGURAT_PROXY": "http://other"}, "socks5://tor:9050"),
        (["--proxy=http://proxy"], {"ZIGGURAT_SOCKS5_PROXY": "other"}, "http://proxy:80"),
        (["--proxy=none"], {"ZIGGURAT_SOCKS5_PROXY": "other"}, "None"),
        (["--socks5-proxy=none"], {"ZIGGURAT_PROXY": "other"}, "None"),
    ],
)
def test_either_name_overrides_the_other_elsewhere(
    arguments: list[str], environ: dict[str, str], proxy: str, file: Path
) -> None:
    file.write_text("proxy = 'lowest'")
    resolved = read("-C", str(file), *arguments, **environ)

    assert str(resolved.settings.proxy) == proxy
    assert sorted(resolved.sources[name] for name in ("socks5-proxy", "proxy")) == [
        arguments[0].partition("=")[0],
        "default",
    ]


def test_env_is_no_proxy_of_a_node() -> None:
    with pytest.raises(SettingsError, match=r"--proxy: bad value 'env' .env is for the commands explain and forward"):
        read("--proxy=env")


def test_none_on_the_command_line_overrides_a_proxy_elsewhere() -> None:
    assert read("--socks5-proxy=none", ZIGGURAT_SOCKS5_PROXY="tor").settings.proxy is None


@pytest.mark.parametrize(
    ("arguments", "environ"),
    [(["--socks5-proxy="], {}), (["--proxy", ""], {}), ([], {"ZIGGURAT_SOCKS5_PROXY": ""})],
)
def test_an_empty_proxy_is_an_error(arguments: list[str], environ: dict[str, str]) -> None:
    with pytest.raises(SettingsError, match=r"empty.*expected .*HOST\[:PORT\]"):
        read(*arguments, **environ)


def test_the_error_for_a_bad_value_names_the_option_and_the_expected_syntax() -> None:
    with pytest.raises(SettingsError) as caught:
        read("--socks5-proxy=abc..abc:23456")

    text = str(caught.value)
    assert text.startswith("--socks5-proxy: bad value 'abc..abc:23456' (bad host")
    assert "expected HOST[:PORT]" in text
    assert "\n" not in text


def test_the_error_for_a_bad_value_contains_no_password() -> None:
    with pytest.raises(SettingsError, match=r"'socks5://\*\*\*@h:0'") as caught:
        read("--socks5-proxy=socks5://u:S3CRET@h:0")
    assert "S3CRET" not in str(caught.value)


def test_the_error_for_a_bad_value_in_a_file_names_the_file_and_the_key(file: Path) -> None:
    file.write_text("listen = 'localhost'")

    with pytest.raises(SettingsError, match=rf"{file}: listen: bad value 'localhost'"):
        read(file=file)


@pytest.mark.parametrize("arguments", [["--testnet", "--devnet"], ["--devnet", "--simnet"]])
def test_two_networks_are_mutually_exclusive(arguments: list[str]) -> None:
    with pytest.raises(SettingsError, match="are mutually exclusive: a node runs on one network"):
        read(*arguments)


def test_a_flag_for_a_network_overrides_a_variable_for_another() -> None:
    resolved = read("--devnet", KASPAD_TESTNET="true")

    assert resolved.settings.network.name == "kaspa-devnet"
    assert resolved.sources["testnet"] == "default"


def test_a_network_switch_set_to_false_has_no_effect() -> None:
    assert read("--devnet", ZIGGURAT_TESTNET="false").settings.network.name == "kaspa-devnet"


@pytest.mark.parametrize(
    ("arguments", "environ"),
    [
        (["--connect=192.0.2.1", "--addpeer=192.0.2.2"], {}),
        (["--addpeer=192.0.2.2"], {"ZIGGURAT_CONNECT": "192.0.2.1"}),
        ([], {"KASPAD_CONNECTPEERS": "192.0.2.1", "ZIGGURAT_ADDPEER": "192.0.2.2"}),
    ],
)
def test_connect_and_addpeer_are_mutually_exclusive_across_sources(
    arguments: list[str], environ: dict[str, str]
) -> None:
    with pytest.raises(SettingsError, match=r"connect \(.*\) and addpeer \(.*\) are mutually exclusive"):
        read(*arguments, **environ)


def test_the_file_can_be_named_by_a_variable(file: Path) -> None:
    assert read(ZIGGURAT_CONFIGFILE=str(file)).settings.outpeers == 4
    assert read(KASPAD_CONFIGFILE="/nowhere").settings.outpeers == 8


def test_proxy_variables_of_other_programs_are_listed() -> None:
    assert read(ALL_PROXY="socks5://x").ignored_variables == ("ALL_PROXY",)
    assert read(grpc_proxy="http://x", HTTPS_PROXY="").ignored_variables == ("grpc_proxy",)


def test_a_relative_directory_is_made_absolute() -> None:
    assert read("--appdir=x").settings.appdir == Path.cwd() / "x"


def test_systemds_state_directory_is_used_and_named_as_the_source() -> None:
    resolved = read(STATE_DIRECTORY="/var/lib/ziggurat")

    assert resolved.settings.appdir == Path("/var/lib/ziggurat")
    assert resolved.sources["appdir"] == "STATE_DIRECTORY"


def test_onion_and_the_entry_of_onion_are_one_setting() -> None:
    for flags in (["--onion=a", "--proxy-net=onion=b"], ["--proxy-net=tor=b", "--onion=a"]):
        with pytest.raises(
            SettingsError, match=r"^--proxy-net of onion and --onion are the same setting; give only one$"
        ):
            read(*flags)


def test_a_flag_for_onion_overrides_a_variable_under_the_other_name() -> None:
    other = read("--onion=a", ZIGGURAT_PROXY_NET="onion=b,ipv4=c")
    assert str(other.settings.ways).startswith("ipv4 socks5://c:9050, ipv6 refused, onion socks5://a:9050")
    assert "onion socks5://b:9050" in str(read("--proxy-net=onion=b", ZIGGURAT_ONION="a").settings.ways)


def test_a_file_and_variables_have_the_settings_of_networks(tmp_path: Path) -> None:
    path = tmp_path / "node.toml"
    path.write_text('proxy-net = ["ipv6=direct"]\nonlynet = ["ipv6"]\nno-proxyrandomize = true\ntor-only = false')
    settings = read(file=path, ZIGGURAT_SOCKS5_PROXY="tor").settings
    assert str(settings.ways).startswith("ipv4 socks5://tor:9050, ipv6 direct")
    assert [str(network) for network in settings.onlynet] == ["ipv6"]
    assert settings.no_proxyrandomize


def test_what_contradicts_is_one_line_of_the_settings() -> None:
    with pytest.raises(SettingsError, match=r"^tor-only leaves nothing to dial: .*127\.0\.0\.1:9050 names its proxy, "):
        read("--tor-only")


@pytest.mark.parametrize("source", ["flag", "variable", "file"])
def test_a_public_onion_service_comes_from_each_source_and_is_shown(source: str, tmp_path: Path) -> None:
    path = tmp_path / "node.toml"
    path.write_text("onion-public = true\n" if source == "file" else "")
    flags = ["--onion-public"] if source == "flag" else []
    variables = {"ZIGGURAT_ONION_PUBLIC": "true"} if source == "variable" else {}
    resolved = read("--tor-control=127.0.0.1", "--listen-onion", *flags, file=path, **variables)

    assert resolved.settings.onion_public
    assert resolved.values["onion-public"] is True
    assert (
        resolved.sources["onion-public"]
        == {
            "flag": "--onion-public",
            "variable": "ZIGGURAT_ONION_PUBLIC",
            "file": str(path),
        }[source]
    )


def test_a_public_onion_service_without_one_is_refused_in_one_line() -> None:
    with pytest.raises(SettingsError, match=r"^onion-public needs listen-onion, the onion service that it tells of$"):
        read("--onion-public")
    with pytest.raises(SettingsError, match=r"^onion-public tells nobody, as .*: onion forbids onion: its proxy is 0$"):
        read("--onion-public", "--listen-onion", "--tor-control=127.0.0.1", "--onion=0")
