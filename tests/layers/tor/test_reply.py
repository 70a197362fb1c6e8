"""Every code that Tor sends has a meaning, a fault and a retry, and both agree with what an error says of it."""

from __future__ import annotations

import pytest

from ziggurat.layers.socks5.replies import REPLIES
from ziggurat.layers.tor.reply import TorReply


def test_they_are_the_codes_of_socks5_and_those_of_tor() -> None:
    assert {*TorReply} == {*REPLIES}


@pytest.mark.parametrize("code", TorReply)
def test_what_never_succeeds_is_not_transient(code: TorReply) -> None:
    assert REPLIES[code].transient is (code.retry != "never")
    assert code.meaning == REPLIES[code].name


@pytest.mark.parametrize("code", TorReply)
def test_what_to_do_is_a_line_of_its_own_for_each_code(code: TorReply) -> None:
    assert code.hint.isprintable()
    assert 30 < len(code.hint) <= 110
    assert [each for each in TorReply if each.hint == code.hint] == [code]


def test_no_target_is_to_blame_for_our_own_mistakes_nor_for_what_tor_does_not_know() -> None:
    assert TorReply(0xF6).fault == "ours"
    assert TorReply(0x01).fault == TorReply(0x06).fault == "unknown"
    assert TorReply(0xF0).fault == "target"
    assert all(code.fault == "ours" for code in TorReply if code.retry == "never")
