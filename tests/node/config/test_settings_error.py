from __future__ import annotations

from ziggurat.node.config.settings_error import SettingsError


def test_it_is_a_value_error_so_that_a_library_user_needs_no_name_for_it() -> None:
    assert issubclass(SettingsError, ValueError)
