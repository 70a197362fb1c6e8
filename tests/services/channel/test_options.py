from __future__ import annotations

import sys

import pytest

from ziggurat.services.channel.options import ConnectionOptions, default_user_agent
from ziggurat.services.version import version


def test_the_defaults_are_the_documented_ones() -> None:
    options = ConnectionOptions()
    assert (options.stream_window, options.connection_window, options.max_frame_size) == (4 << 20, 4 << 20, 256 << 10)
    assert options.max_message_size == 32 << 20
    assert options.compression is None
    assert options.linger == 2.0
    assert options.http2_keepalive_interval is None


def test_the_user_agent_names_us_and_reveals_nothing_about_the_machine() -> None:
    assert ConnectionOptions().user_agent == default_user_agent() == f"ziggurat/{version()}"
    assert sys.platform not in default_user_agent()


def test_options_are_immutable() -> None:
    with pytest.raises(AttributeError):
        ConnectionOptions().linger = 1.0  # type: ignore[misc]
