from __future__ import annotations

import argparse
from pathlib import Path

import pytest

from ziggurat.node.config import OPTIONS, Resolved, add_settings, resolve


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


def test_kaspads_p2p_flags_are_parsed_as_in_kaspad(tmp_path: Path) -> None:
    settings = read(
        *("--addpeer=192.0.2.1", "--addpeer=192.0.2.2:7", "--listen=127.0.0.1:0", "--listen=::1"),
        *("--outpeers=0", "--maxinpeers=9"),
        *("--externalip=9.9.9.9", "--nodnsseed", "--uacomment=a", "--uacomment=b", "--testnet", "--netsuffix=10"),
        *("-b", str(tmp_path), "--logdir", str(tmp_path), "--nologfiles", "-d", "debug"),
    ).settings

    assert [str(peer) for peer in settings.addpeer] == ["192.0.2.1:16211", "192.0.2.2:7"]
    assert list(map(str, settings.listen)) == ["127.0.0.1:0", "[::1]:16211"]
    assert (settings.outpeers, settings.maxinpeers, settings.nodnsseed) == (0, 9, True)
    assert str(settings.externalip) == "9.9.9.9:0"  # the listener's port
    assert settings.uacomment == ("a", "b")
    assert settings.network.name == "kaspa-testnet-10"
    assert (settings.appdir, settings.logdir, settings.nologfiles, settings.loglevel) == (
        tmp_path,
        tmp_path,
        True,
        "debug",
    )


def test_kaspad_flags_without_effect_are_listed() -> None:
    resolved = read(
        "--utxoindex", "--rpclisten=127.0.0.1:1", "--rpclisten-borsh", "--ram-scale=0.3", "-t=2", "--utxoindex"
    )

    assert resolved.ignored_settings == ("--utxoindex", "--rpclisten", "--rpclisten-borsh", "--ram-scale", "-t")


@pytest.mark.parametrize("flag", ["--nonsense", "--listen6=a", "--outpeer=3", "--utxoindex=1"])
def test_unknown_flags_are_rejected_by_name(flag: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        read(flag)

    assert caught.value.code == 2
    assert flag.split("=")[0] in capsys.readouterr().err


def test_a_setting_with_one_value_is_refused_when_it_is_given_twice(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        read("--socks5-proxy=u:secret@tor", "--socks5-proxy=none")

    assert caught.value.code == 2
    error = capsys.readouterr().err
    assert "argument --socks5-proxy: given more than once" in error
    assert "secret" not in error


def test_the_help_shows_the_form_of_each_value_and_what_can_be_repeated() -> None:
    parser = argparse.ArgumentParser("ziggurat")
    add_settings(parser, node=True)
    text = " ".join(parser.format_help().split())

    assert "--connect HOST[:PORT] dial only this peer, and do not listen; can be repeated" in text
    assert "--listen IP[:PORT] address to listen on; [::] takes both families (default" in text
    assert "(default port: 9050); HOST[:PORT], [IPv6][:PORT], socks5://USER:PASSWORD@HOST[:PORT], unix:/PATH" in text
    assert "minimum level of log events (default: info); off, error, warn, info, debug, trace" in text
    assert text.count("can be repeated") == sum(option.many for option in OPTIONS)


def test_a_command_that_only_dials_takes_the_proxy_and_the_network() -> None:
    settings = read("--proxy=tor", "--devnet", node=False).settings

    assert settings.proxy is not None
    assert settings.network.port == 16611


def test_a_command_that_only_dials_has_no_flag_for_a_listener() -> None:
    with pytest.raises(SystemExit):
        read("--listen=127.0.0.1", node=False)
