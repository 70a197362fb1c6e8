"""The list of bans: who is neither let in nor dialled."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable, Sequence
from ipaddress import ip_address, ip_network
from pathlib import Path

import anyio.to_thread

from ziggurat.layers.events import EventLogger, write_event
from ziggurat.node.address import IpAddress, NetAddress, PeerAddress
from ziggurat.node.handshake import Rules
from ziggurat.node.inbound.ban import Ban, BanTarget, UserAgentPattern, ban_text, parse_ban
from ziggurat.node.inbound.ban_file import DamagedBanFile, move_damaged_file, read_bans, write_bans
from ziggurat.node.ip_network import IpNetwork, network_text
from ziggurat.node.peer import PeerInfo

__all__ = ["DEFAULT_DURATION", "BanList"]

DEFAULT_DURATION = 24 * 3600.0
"""Seconds. As in kaspad and Bitcoin Core: addresses change hands, and a mistake heals by itself."""

MAX_DURATION = 100 * 365 * 24 * 3600.0

MAX_BANS = 10_000


class BanList:
    """The bans. Once it is in use, it belongs to one event loop.

    Bans end by the machine's clock, also while no node is running. The peers that the operator names are exempt from
    all of them. So are peers behind an inbound proxy from bans of addresses, since they have none of their own here.

    Events: ``bans.loaded`` (``count``), ``ban.added`` (``what``, ``until``), ``ban.lifted`` (``what``) and
    ``bans.set_aside`` (``path``, ``moved_to``, ``error``) when the file was damaged and has been renamed.

    Args:
        always: what the settings ban: without an end, and not stored.
        exempt: the peers that the operator names.
        proxies: the networks that inbound peers come from through a proxy.
        path: the file to store bans in; ``None`` stores none. `load` reads it.
        clock: returns the time in seconds since 1970.
        logger: the logger for the events, as in `write_event`.

    Attributes:
        proxies: as above.
        watchers: functions that are called after each new ban, such as the adaptor's, which drops peers.
    """

    def __init__(
        self,
        always: Iterable[BanTarget] = (),
        *,
        exempt: Iterable[PeerAddress] = (),
        proxies: Sequence[IpNetwork] = (),
        path: Path | None = None,
        clock: Callable[[], float] = time.time,
        logger: EventLogger | None = None,
    ) -> None:
        self.proxies = tuple(proxies)
        self.watchers: set[Callable[[Ban], object]] = set()
        self._always = {what: Ban(what, by_settings=True) for what in always}
        self._added: dict[BanTarget, Ban] = {}
        self._exempt: frozenset[IpAddress | str] = frozenset(map(_host, exempt))
        self._path = path
        self._clock = clock
        self._logger = logger
        self._write_lock = asyncio.Lock()
        # The networks' prefixes as numbers, by IP version and length, longest first: a look-up takes a step per length.
        self._prefixes: list[tuple[int, int, set[int]]] = []
        self._index()

    def load(self) -> BanList:
        """Read the file, and return the list. A damaged file is renamed, and the log says so. Blocks.

        Raises:
            OSError: the file cannot be read.
        """
        if self._path is None:
            return self
        try:
            stored = read_bans(self._path)
        except DamagedBanFile as error:
            aside = move_damaged_file(self._path)
            fields = {"path": str(self._path), "moved_to": str(aside), "error": str(error)}
            write_event(self._logger, "warning", "bans.set_aside", **fields)
            return self
        now = self._clock()
        self._added = {ban.what: ban for ban in stored if not ban.has_ended(now)}
        self._index()
        if self._added:
            write_event(self._logger, "info", "bans.loaded", count=len(self._added))
        return self

    # -- the list

    def bans(self) -> list[Ban]:
        """Return all bans, those of the settings first, then the oldest first."""
        now = self._clock()
        return [*self._always.values(), *(ban for ban in self._added.values() if not ban.has_ended(now))]

    async def ban(self, what: BanTarget | str, seconds: float | None = DEFAULT_DURATION) -> Ban:
        """Ban an IP, a network or a user agent. It is in force at once, and stored on return.

        Args:
            what: as an object, or as `parse_ban` reads it.
            seconds: how long; ``None`` for a ban without an end. A ban is never shortened: the later end holds.

        Raises:
            ValueError: ``what`` or ``seconds`` is malformed, ``what`` is a proxy or a peer that the operator names, or
                the list is full.
            OSError: the ban is in force, but could not be stored.
        """
        what = parse_ban(what) if isinstance(what, str) else what
        if seconds is not None and not 0 < seconds <= MAX_DURATION:
            raise ValueError(f"a ban lasts up to 100 years, or has no end: {seconds!r} s")
        self._check_target(what)
        self._forget_ended()
        ban = Ban(what, None if seconds is None else self._clock() + seconds)
        known = self._added.get(what)
        if known is None and len(self._added) >= MAX_BANS:
            raise ValueError(f"the list is full: it has {MAX_BANS} bans")
        if known is not None and (known.until is None or (ban.until is not None and known.until > ban.until)):
            ban = known
        self._added[what] = ban
        self._index()
        write_event(self._logger, "info", "ban.added", what=str(ban), until=ban.end)
        for watcher in tuple(self.watchers):
            watcher(ban)
        await self._store()
        return ban

    async def unban(self, what: BanTarget | str) -> bool:
        """Lift a ban, for what it was given for; return ``False`` if there is none. It is stored on return.

        Raises:
            ValueError: ``what`` is malformed.
            OSError: the ban is lifted, but this could not be stored.
        """
        what = parse_ban(what) if isinstance(what, str) else what
        self._forget_ended()
        if self._added.pop(what, None) is None:
            return False
        self._index()
        write_event(self._logger, "info", "ban.lifted", what=ban_text(what))
        await self._store()
        return True

    def overlapping(self, what: BanTarget) -> list[Ban]:
        """Return the bans of what is given, of networks that contain it, and of networks that it contains."""
        return [ban for ban in self.bans() if ban.what == what or _overlap(ban.what, what)]

    def exempt_in(self, what: BanTarget) -> list[str]:
        """Return the peers that the operator names and that a ban would affect otherwise."""
        if isinstance(what, UserAgentPattern):
            return []
        return sorted(str(host) for host in self._exempt if not isinstance(host, str) and host in what)

    def proxies_in(self, what: BanTarget) -> list[str]:
        """Return the inbound proxies whose peers a ban would affect otherwise."""
        return [network_text(proxy) for proxy in self.proxies if _overlap(proxy, what)]

    # -- who is banned

    def of_address(self, address: PeerAddress | None) -> Ban | None:
        """Return the ban of an IP address, or ``None``. Names and onion services have none, nor has who is unknown."""
        if address is None or not isinstance(address, NetAddress) or address.ip in self._exempt:
            return None
        ip, number = ip_address(address.ip.packed), int(address.ip)  # a ban has no zone
        for version, length, prefixes in self._prefixes:
            if version == ip.version and number >> (ip.max_prefixlen - length) in prefixes:
                ban = self._find(ip_network((ip, length), strict=False))
                if ban is not None:
                    return ban
        return None

    def of_user_agent(self, user_agent: str, address: PeerAddress | None) -> Ban | None:
        """Return the ban of a user agent, or ``None``; ``address`` is the peer's, ``None`` if it is unknown."""
        if address is not None and _host(address) in self._exempt:
            return None
        patterns = [what for what in (*self._always, *self._added) if isinstance(what, UserAgentPattern)]
        return next((ban for what in patterns if what.matches(user_agent) and (ban := self._find(what))), None)

    def of_peer(self, peer: PeerInfo) -> Ban | None:
        """Return the ban of a peer, or ``None``."""
        address = None if peer.hidden else peer.address
        return self.of_address(address) or self.of_user_agent(peer.user_agent, address)

    def rules(self, address: PeerAddress | None, rules: Rules) -> Rules:
        """Return the handshake's rules for a peer: those given, and the bans."""
        return Rules(
            is_duplicate=rules.is_duplicate,
            is_banned=lambda id: rules.is_banned(id) or self.of_address(address) is not None,
            refuses_user_agent=lambda user_agent: (
                rules.refuses_user_agent(user_agent) or self.of_user_agent(user_agent, address) is not None
            ),
        )

    # -- inside

    def _check_target(self, what: BanTarget) -> None:
        if isinstance(what, UserAgentPattern):
            return
        for proxy in self.proxies:
            if what.version == proxy.version and what.subnet_of(proxy):  # type: ignore[arg-type]  # of one version
                raise ValueError(
                    f"{ban_text(what)} is an inbound proxy: its peers have no other address here; ban their user agent"
                )
        if what.prefixlen == what.max_prefixlen and what.network_address in self._exempt:
            raise ValueError(f"{ban_text(what)} is a peer of --addpeer or --connect: remove it there first")

    def _find(self, what: BanTarget) -> Ban | None:
        ban = self._always.get(what) or self._added.get(what)
        return None if ban is None or ban.has_ended(self._clock()) else ban

    def _forget_ended(self) -> None:
        now = self._clock()
        self._added = {what: ban for what, ban in self._added.items() if not ban.has_ended(now)}

    def _index(self) -> None:
        found: dict[tuple[int, int], set[int]] = {}
        for what in (*self._always, *self._added):
            if not isinstance(what, UserAgentPattern):
                prefix = int(what.network_address) >> (what.max_prefixlen - what.prefixlen)
                found.setdefault((what.version, what.prefixlen), set()).add(prefix)
        self._prefixes = [(*key, found[key]) for key in sorted(found, reverse=True)]

    async def _store(self) -> None:
        if self._path is None:
            return
        async with self._write_lock:  # so that an older list never replaces a newer one
            await anyio.to_thread.run_sync(write_bans, self._path, tuple(self._added.values()))


def _overlap(one: BanTarget, other: BanTarget) -> bool:
    if isinstance(one, UserAgentPattern) or isinstance(other, UserAgentPattern):
        return False
    return one.overlaps(other)


def _host(address: PeerAddress) -> IpAddress | str:
    return address.ip if isinstance(address, NetAddress) else address.host
