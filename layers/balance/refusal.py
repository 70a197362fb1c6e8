"""What a balance says when it has nothing to dial."""

from __future__ import annotations

from collections.abc import Sequence

from ziggurat.layers.balance.feed import Feed
from ziggurat.layers.balance.member import Member
from ziggurat.services.errors import ConnectError, NoEndpoints

__all__ = ["none_usable"]


def none_usable(members: Sequence[Member], now: float, waited: float | None, feed: Feed | None) -> NoEndpoints:
    """Return the error of a dial that found no endpoint.

    Args:
        members: the endpoints, which are all backing off or being tried.
        now: the event loop's clock.
        waited: the limit of the wait in seconds; ``None`` for none.
        feed: where endpoints come from; ``None`` if nothing reads them.
    """
    if members:
        following = min(members, key=lambda member: member.until)
        error = NoEndpoints(f"all {len(members)} endpoints have failed; {_following(following, now)}")
        error.__cause__ = following.error
        return error
    hint = None
    if feed is not None and feed.error is not None:
        hint = f"their iterator raised {type(feed.error).__name__}: {feed.error}"
    elif feed is not None and feed.ended:
        hint = "their iterator has ended"
    error = NoEndpoints(
        "there are no endpoints" if not waited else f"there was no endpoint within {waited:g} s", hint=hint
    )
    error.__cause__ = None if feed is None else feed.error
    return error


def _following(member: Member, now: float) -> str:
    left = member.until - now
    when = f"is tried again in {left:.1f} s" if left > 0 else "is being tried"
    reason = member.error.message if isinstance(member.error, ConnectError) else repr(member.error)
    return f"{member.key} {when}, and failed with: {reason}"
