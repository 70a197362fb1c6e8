"""Read a configuration file: kaspad's flat TOML, with a few keys of our own."""

from __future__ import annotations

import tomllib
from difflib import get_close_matches
from pathlib import Path
from typing import cast

from ziggurat.node.config.options import IGNORED_FLAGS, IGNORED_VALUES, OPTIONS, Option, RawValue
from ziggurat.node.config.settings import SettingsError

__all__ = ["read_config_file"]


def read_config_file(path: Path) -> tuple[dict[str, RawValue], list[str]]:
    """Read the settings in a file.

    Returns:
        The values by option name, and the kaspad keys that have no effect here.

    Raises:
        SettingsError: the file is missing or not TOML, a key is unknown, or a value has the wrong type.
    """
    try:
        content: dict[str, object] = tomllib.loads(
            path.read_text(encoding="utf-8-sig")
        )  # Windows' editors begin with a BOM
    except OSError as error:
        raise SettingsError(f"--configfile: cannot read {path}: {error.strerror}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        # First line only: Python 3.14 appends the file's text.
        reason = str(error).split("\n")[0] if isinstance(error, tomllib.TOMLDecodeError) else "not UTF-8"
        raise SettingsError(f"--configfile: {path} is not valid TOML: {reason}") from error
    options = {option.name: option for option in OPTIONS if option.in_file}
    given: dict[str, RawValue] = {}
    ignored: list[str] = []
    for key, value in content.items():
        option = options.get(key)
        if option is None:
            if key not in {*IGNORED_FLAGS, *IGNORED_VALUES}:
                near = get_close_matches(key.replace("_", "-"), options, 1)
                raise SettingsError(f"{path}: unknown key {key!r}{f'; did you mean {near[0]!r}?' if near else ''}")
            ignored.append(key)
        else:
            given[option.name] = _raw_value(option, key, value, path)
    return given, ignored


def _raw_value(option: Option, key: str, value: object, path: Path) -> RawValue:
    if option.read is None:
        if isinstance(value, bool):
            return value
        expected = "true or false"
    elif option.many:
        if isinstance(value, list):
            texts = cast("list[object]", value)
            if all(isinstance(text, str) for text in texts):
                return tuple(str(text) for text in texts)
        if option.single and isinstance(value, str):
            return (value,)
        expected = "a string or a list of strings" if option.single else "a list of strings"
    elif option.number:
        if type(value) is int:
            return str(value)
        expected = "an integer"
    else:
        if isinstance(value, str):
            return value
        expected = "a string"
    raise SettingsError(f"{path}: {key} must be {expected}")
