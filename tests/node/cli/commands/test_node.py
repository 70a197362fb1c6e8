from __future__ import annotations

import tomllib
from pathlib import Path

import pytest

from tests.node.running import run
from ziggurat.node.cli.command import main
from ziggurat.node.config.options import OPTIONS

SECRET = "S3CRET"


@pytest.fixture(autouse=True)
def _no_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    for option in OPTIONS:
        for name in (option.variable, option.kaspad, "STATE_DIRECTORY"):
            if name is not None:
                monkeypatch.delenv(name, raising=False)


def show_config(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    assert main(["node", "--show-config", *arguments]) == 0
    return capsys.readouterr().out


def test_the_configuration_is_shown_with_the_source_of_each_setting(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "node.toml"
    file.write_text("maxinpeers = 7\nutxoindex = true")
    monkeypatch.setenv("ZIGGURAT_UACOMMENT", "a,b")
    monkeypatch.setenv("KASPAD_NODNSSEED", "1")
    monkeypatch.setenv("all_proxy", "socks5://x")
    lines = show_config(capsys, "--devnet", "-C", str(file), "--addpeer=h:1").splitlines()

    assert "devnet = true  # --devnet" in lines
    assert f"maxinpeers = 7  # {file}" in lines
    assert 'uacomment = ["a", "b"]  # ZIGGURAT_UACOMMENT' in lines
    assert "nodnsseed = true  # KASPAD_NODNSSEED" in lines
    assert 'addpeer = ["h:1"]  # --addpeer' in lines
    assert "outpeers = 8  # default" in lines
    assert 'listen = ["0.0.0.0:16611"]  # default' in lines
    assert "# utxoindex: ignored; it has no effect here" in lines
    assert any(line.startswith("# all_proxy: ignored; set a proxy") for line in lines)


def test_the_shown_configuration_is_toml_with_every_setting(capsys: pytest.CaptureFixture[str]) -> None:
    assert set(tomllib.loads(show_config(capsys, "--testnet"))) == {option.name for option in OPTIONS} - {"proxy"}


@pytest.mark.parametrize("name", ["a\x7fb", "a\udcffb", "a\U0001f600b", 'a"\\b', "a\nb\x1b"])
def test_a_path_of_any_characters_is_toml(name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / name
    file.write_text("outpeers = 4")
    shown = tomllib.loads(show_config(capsys, "-C", str(file), "-b", str(file)))

    assert shown["outpeers"] == 4
    assert Path(shown["appdir"]).name == name.replace("\udcff", "?")


def test_a_setting_without_effect_is_a_comment(capsys: pytest.CaptureFixture[str]) -> None:
    shown = show_config(capsys, "--connect=h", "--outpeers=3")

    assert "# outpeers (--outpeers) has no effect beside connect" in shown


def test_secrets_are_masked(capsys: pytest.CaptureFixture[str]) -> None:
    text = show_config(capsys, f"--socks5-proxy=socks5://user:{SECRET}@tor")

    assert SECRET not in text
    assert 'socks5-proxy = "socks5://***:***@tor:9050"  # --socks5-proxy' in text


def test_a_proxy_is_shown_under_the_name_that_it_was_given_by(capsys: pytest.CaptureFixture[str]) -> None:
    text = show_config(capsys, f"--proxy=https://user:{SECRET}@proxy.corp")

    assert SECRET not in text
    assert 'proxy = "https://***:***@proxy.corp:443"  # --proxy' in text.splitlines()
    assert "socks5-proxy" not in text
    assert "# names: https://***:***@proxy.corp:443, resolved by the proxy proxy.corp:443 (proxy)" in text.splitlines()
    assert tomllib.loads(text)["proxy"]


def test_with_a_proxy_the_shown_listen_address_is_empty(capsys: pytest.CaptureFixture[str]) -> None:
    assert "listen = []  # default" in show_config(capsys, "--proxy=tor")


def test_showing_the_configuration_creates_no_directory(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    show_config(capsys, "-b", str(tmp_path / "app"))

    assert not (tmp_path / "app").exists()


@pytest.mark.parametrize(
    ("arguments", "environ", "message"),
    [
        (["--socks5-proxy="], {}, "ziggurat node: --socks5-proxy: bad value '' (empty); expected HOST[:PORT]"),
        ([], {"ZIGGURAT_SOCKS5_PROXY": ""}, "ziggurat node: ZIGGURAT_SOCKS5_PROXY: empty; expected HOST[:PORT]"),
        (["--proxy=abc..abc:23456"], {}, "ziggurat node: --proxy: bad value 'abc..abc:23456'"),
        (["--proxy=192.0.0.1:def"], {}, "bad port"),
        (["--connect=h:1", "--addpeer=h:2"], {}, "mutually exclusive"),
        (["--testnet", "--simnet"], {}, "mutually exclusive"),
        (["-C", "/nowhere/node.toml"], {}, "cannot read /nowhere/node.toml"),
        ([], {"ZIGGURAT_NONSENSE": "1"}, "ZIGGURAT_NONSENSE"),
        (["--outpeers=many"], {}, "--outpeers: bad value 'many'"),
    ],
)
def test_bad_arguments_print_one_line_on_stderr_and_exit_with_2(
    arguments: list[str],
    environ: dict[str, str],
    message: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    for name, value in environ.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(SystemExit) as caught:
        main(["node", *arguments])
    out, err = capsys.readouterr()

    assert caught.value.code == 2
    assert out == ""
    assert message in err
    assert err.count("\n") == 1


def test_an_unknown_flag_is_rejected_by_name(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main(["node", "--nonsense"])

    assert caught.value.code == 2
    assert "--nonsense" in capsys.readouterr().err


def test_it_runs_as_a_process(tmp_path: Path) -> None:
    done = run("node", "--show-config", "--simnet", STATE_DIRECTORY=str(tmp_path))

    assert done.returncode == 0, done.stderr
    assert f'appdir = "{tmp_path}"  # STATE_DIRECTORY' in done.stdout
    assert done.stderr == ""
