from __future__ import annotations

import dataclasses

from ziggurat.node.config.options import IGNORED_FLAGS, IGNORED_VALUES, OPTIONS
from ziggurat.node.config.settings import Settings


def test_names_are_unique() -> None:
    names = [option.name for option in OPTIONS]
    names += [*IGNORED_FLAGS, *IGNORED_VALUES]

    assert len(names) == len(set(names))


def test_every_field_of_the_settings_has_an_option() -> None:
    fields = {field.name for field in dataclasses.fields(Settings)} - {"network", "proxy", "socks_from_tor"}

    assert fields == {option.field for option in OPTIONS} - {
        *("testnet", "netsuffix", "devnet", "simnet", "socks5_proxy", "proxy", "configfile")
    }


def test_every_option_with_a_value_says_what_is_expected() -> None:
    assert all(option.expected for option in OPTIONS if option.read is not None)
