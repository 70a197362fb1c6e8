from __future__ import annotations

import pytest

from ziggurat.node.config.environment import ignored_proxy_variables, read_fallback, read_variables
from ziggurat.node.config.options import OPTIONS
from ziggurat.node.config.settings import SettingsError


def test_every_setting_has_a_variable() -> None:
    variables = {option.variable: "yes" for option in OPTIONS}

    assert set(read_variables(variables)) == {option.name for option in OPTIONS}


def test_a_repeatable_setting_is_a_comma_separated_list() -> None:
    assert read_variables({"ZIGGURAT_ADDPEER": "a:1, b:2"})["addpeer"] == ("ZIGGURAT_ADDPEER", ("a:1", "b:2"))


@pytest.mark.parametrize(
    ("text", "value"), [("1", True), ("True", True), ("on", True), ("0", False), ("no", False), ("OFF", False)]
)
def test_a_switch_has_several_spellings(text: str, value: bool) -> None:
    assert read_variables({"ZIGGURAT_NODNSSEED": text})["nodnsseed"] == ("ZIGGURAT_NODNSSEED", value)


def test_any_other_value_of_a_switch_is_an_error() -> None:
    with pytest.raises(SettingsError, match="ZIGGURAT_NODNSSEED: bad value 'maybe'; expected true or false"):
        read_variables({"ZIGGURAT_NODNSSEED": "maybe"})


@pytest.mark.parametrize("name", ["ZIGGURAT_SOCKS5_PROXY", "ZIGGURAT_PROXY", "ZIGGURAT_CONNECT", "ZIGGURAT_NODNSSEED"])
def test_an_empty_variable_is_an_error(name: str) -> None:
    with pytest.raises(SettingsError, match=f"{name}: empty; expected"):
        read_variables({name: ""})


def test_a_misspelt_variable_is_rejected_by_name() -> None:
    with pytest.raises(SettingsError, match="ZIGGURAT_SOCK5_PROXY"):
        read_variables({"ZIGGURAT_SOCK5_PROXY": "127.0.0.1:9050"})


@pytest.mark.parametrize("name", ["ziggurat_socks5_proxy", "Ziggurat_Socks5_Proxy"])
def test_a_name_in_another_case_is_rejected_and_the_right_one_named(name: str) -> None:
    with pytest.raises(SettingsError, match=f"{name}: unknown setting; did you mean ZIGGURAT_SOCKS5_PROXY"):
        read_variables({name: "127.0.0.1:9050"})


@pytest.mark.parametrize(
    "name",
    ["ZIGGURAT_PORT", "ZIGGURAT_PORT_16111_TCP_ADDR", "ZIGGURAT_SERVICE_HOST", "ZIGGURAT_P2P_SERVICE_PORT_P2P"],
)
def test_the_service_links_of_kubernetes_are_not_settings(name: str) -> None:
    assert read_variables({name: "tcp://10.0.0.1:16111"}) == {}


def test_the_variables_of_the_tests_are_not_settings() -> None:
    assert read_variables({"ZIGGURAT_KASPAD": "/usr/bin/kaspad"}) == {}


def test_only_kaspads_variables_for_the_network_and_its_peers_are_read() -> None:
    own = {option.kaspad: "1" for option in OPTIONS if option.kaspad}

    assert set(own) == {
        *("KASPAD_TESTNET", "KASPAD_NETSUFFIX", "KASPAD_DEVNET", "KASPAD_SIMNET", "KASPAD_CONNECTPEERS"),
        *("KASPAD_ADDPEERS", "KASPAD_OUTPEERS", "KASPAD_MAXINPEERS", "KASPAD_NODNSSEED"),
    }
    machine = {f"KASPAD_{name}": "1" for name in ("APPDIR", "LOGDIR", "LISTEN", "CONFIGFILE", "EXTERNALIP", "NONSENSE")}
    assert len(read_fallback({**own, **machine})) == len(own)


def test_an_empty_kaspad_variable_is_ignored() -> None:
    assert read_fallback({"KASPAD_CONNECTPEERS": ""}) == {}


def test_other_programs_proxy_variables_are_found_in_either_case() -> None:
    assert ignored_proxy_variables({"ALL_PROXY": "x", "all_proxy": "y", "http_proxy": "", "NO_PROXY": "z"}) == [
        "ALL_PROXY",
        "all_proxy",
    ]
