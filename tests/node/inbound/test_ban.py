from __future__ import annotations

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ziggurat.node.inbound.ban import Ban, UserAgentPattern, ban_text, parse_ban


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("192.0.2.7", "192.0.2.7"),
        ("::FFFF:192.0.2.7", "192.0.2.7"),
        ("2001:DB8::/32", "2001:db8::/32"),
        ("agent:*/kaspad:0.1*", "agent:*/kaspad:0.1*"),
        ("agent: */KASPAD:* ", "agent:*/kaspad:*"),
    ],
)
def test_a_ban_is_of_an_address_a_network_or_a_user_agent(text: str, shown: str) -> None:
    assert ban_text(parse_ban(text)) == shown
    assert parse_ban(shown) == parse_ban(text)


@pytest.mark.parametrize("text", ["192.0.2.", "192.0.2.256", "192.0.2.7.", "2001:db8::g", "*", "kaspad", "Agent:x"])
def test_a_typo_is_not_taken_for_a_user_agent(text: str) -> None:
    with pytest.raises(ValueError, match="neither an IP address nor a network"):
        parse_ban(text)


@pytest.mark.parametrize("text", ["agent:", "agent:*", "agent: ** ", "agent:a\nb", "agent:" + "x" * 257])
def test_a_pattern_for_everybody_or_with_odd_characters_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"matches every user agent|at most 256 characters"):
        parse_ban(text)


@pytest.mark.parametrize(
    ("pattern", "user_agent", "matches"),
    [
        ("*/kaspad:0.1*", "/x/kaspad:0.17/", True),
        ("*/KASPAD:0.1*", "/X/Kaspad:0.17/", True),
        ("kaspad", "/kaspad:1/", False),
        ("/kaspad:?.1.0/", "/kaspad:2.1.0/", True),
        ("/kaspad:[01].*", "/kaspad:1.2/", True),
        ("/kaspad:[01].*", "/kaspad:2.2/", False),
        ("*bad*", "/a\nbad\n/", True),
    ],
)
def test_a_pattern_is_a_shell_pattern_for_the_whole_user_agent(pattern: str, user_agent: str, matches: bool) -> None:
    assert UserAgentPattern(pattern).matches(user_agent) is matches


def test_a_pattern_with_many_stars_is_matched_at_once() -> None:
    assert not UserAgentPattern("*a" * 100 + "b").matches("a" * 256)


@given(st.text(max_size=300))
def test_any_text_is_parsed_or_refused(text: str) -> None:
    for given_text in (text, f"agent:{text}"):
        with suppress(ValueError):
            assert parse_ban(ban_text(parse_ban(given_text))) == parse_ban(given_text)


def test_a_ban_ends_at_its_time() -> None:
    ban = Ban(parse_ban("192.0.2.7"), until=100.0)

    assert [ban.has_ended(now) for now in (99.9, 100.0)] == [False, True]
    assert ban.end == "1970-01-01T00:01:40Z"
    assert not Ban(ban.what).has_ended(1e12)
    assert Ban(ban.what).end is None
