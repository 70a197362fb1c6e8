"""The file descriptors of the process: the limit is raised to what the settings need, or the settings are lowered."""

from __future__ import annotations

from dataclasses import replace

from ziggurat.node.config import Settings
from ziggurat.node.inbound import InboundLimits

__all__ = ["RESERVE", "descriptors_needed", "fit_descriptors", "fitting"]

RESERVE = 128
"""Descriptors for everything but connected peers: dials under way, name look-ups (at most 64), connections that are
refused, the address book, log, control socket."""


def descriptors_needed(settings: Settings) -> int:
    """Return how many file descriptors a node with these settings may use at once."""
    inbound = settings.inbound_limit + InboundLimits().pending if settings.inbound_limit else 0
    return inbound + settings.outbound_target + len(settings.permanent_peers) + RESERVE


def fitting(settings: Settings, limit: int) -> Settings:
    """Return the settings, with as many inbound peers as fit into ``limit`` descriptors."""
    excess = max(0, descriptors_needed(settings) - limit)
    return replace(settings, maxinpeers=max(0, settings.maxinpeers - excess)) if settings.inbound_limit else settings


def fit_descriptors(settings: Settings) -> tuple[Settings, str | None]:
    """Raise the soft limit of file descriptors to what the settings need, or the hard limit if that is lower.

    The usual soft limit is 1024, the hard limit far higher (setrlimit(2)).

    Returns:
        The settings to use, and what does not fit in one line; ``None`` if everything fits.
    """
    try:
        import resource  # here: only a running node needs POSIX
    except ImportError:
        return settings, None
    needed = descriptors_needed(settings)
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = needed if hard == resource.RLIM_INFINITY else min(needed, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
            soft = wanted
        except (OSError, ValueError):  # macOS has another limit below the hard one
            pass
    if soft == resource.RLIM_INFINITY or soft >= needed:
        return settings, None
    lowered = fitting(settings, soft)
    reason = f"needs {needed} file descriptors, and the process may have {soft} (ulimit -n; LimitNOFILE= in systemd)"
    return lowered, f"maxinpeers {settings.maxinpeers} {reason}: the node accepts {lowered.maxinpeers} inbound peers"
