"""What a running node answers on its control socket."""

from __future__ import annotations

import time

import anyio

from ziggurat.layers.events import write_event
from ziggurat.node.daemon.circuits import PeerCircuits
from ziggurat.node.daemon.control import Arguments
from ziggurat.node.inbound import Ban, BanTarget, ban_text, parse_ban
from ziggurat.node.p2p_service import P2pService
from ziggurat.node.peer import PeerInfo

__all__ = ["NodeRequests"]


class NodeRequests:
    """The requests about a node's peers and bans.

    Args:
        service: the node's P2P service.
        circuits: the circuits of its peers; ``None`` knows none.

    Attributes:
        questions: the requests without arguments, by name.
        commands: those with arguments.
    """

    def __init__(self, service: P2pService, circuits: PeerCircuits | None = None) -> None:
        self._service = service
        self._circuits = PeerCircuits() if circuits is None else circuits
        self._bans = service.bans
        self.questions = {"peers": self._peers, "banned": self._banned}
        self.commands = {"ban": self._ban, "unban": self._unban}

    async def _peers(self) -> list[dict[str, object]]:
        paths = await self._circuits.paths()
        return [{**_peer(peer), **self._circuits.record(peer, paths)} for peer in self._service.adaptor.peers()]

    async def _banned(self) -> list[dict[str, object]]:
        now = time.time()
        return [_ban(ban, now) for ban in self._bans.bans()]

    async def _ban(self, arguments: Arguments) -> dict[str, object]:
        """Ban ``what`` for ``seconds``; null is forever."""
        what, seconds = _target(arguments), arguments.get("seconds")
        if seconds is not None and (isinstance(seconds, bool) or not isinstance(seconds, int | float)):
            raise ValueError(f"seconds must be a number or null: {seconds!r}")
        peers = self._service.adaptor.peers()
        notes: list[str] = []
        try:
            ban = await self._bans.ban(what, seconds)
        except OSError as error:
            ban = next(each for each in self._bans.bans() if each.what == what)
            notes.append(self._not_stored(error, "the ban ends when the node stops"))
        dropped = sum(self._bans.of_peer(peer) is not None for peer in peers)
        notes += [f"{peer} is exempt: --addpeer or --connect names it" for peer in self._bans.exempt_in(what)]
        notes += [f"peers behind the inbound proxy {proxy} are not affected" for proxy in self._bans.proxies_in(what)]
        return {**_ban(ban, time.time()), "dropped": dropped, "notes": notes}

    async def _unban(self, arguments: Arguments) -> dict[str, object]:
        """Lift the ban of ``what``; the reply says whether there was one, and which bans overlap it."""
        what = _target(arguments)
        notes: list[str] = []
        try:
            lifted = await self._bans.unban(what)
        except OSError as error:
            lifted = True
            notes.append(self._not_stored(error, "the ban is back when the node restarts"))
        now = time.time()
        return {
            "what": ban_text(what),
            "lifted": lifted,
            "others": [_ban(ban, now) for ban in self._bans.overlapping(what)],
            "notes": notes,
        }

    def _not_stored(self, error: OSError, consequence: str) -> str:
        write_event(None, "warning", "bans.not_stored", error=str(error))
        return f"not stored ({error.strerror or error}): {consequence}"


def _target(arguments: Arguments) -> BanTarget:
    what = arguments.get("what")
    if not isinstance(what, str):
        raise ValueError(f"what must be a text: {what!r}")
    return parse_ban(what)


def _ban(ban: Ban, now: float) -> dict[str, object]:
    return {
        "what": str(ban),
        "until": ban.end,
        "seconds_left": None if ban.until is None else round(ban.until - now),
        "by": "settings" if ban.by_settings else "command",
    }


def _peer(peer: PeerInfo) -> dict[str, object]:
    return {
        "address": str(peer.address),
        "direction": peer.direction,
        "network": str(peer.address_network),
        "via": peer.via,
        "age": round(anyio.current_time() - peer.connected_at, 3),
        "ping": peer.ping,
        "user_agent": peer.user_agent,
        "protocol_version": peer.protocol_version,
        "id": peer.id.hex(),
    }
