"""Settings that cannot work together: a node does not start with them, rather than dial another way than was asked."""

from __future__ import annotations

from collections.abc import Sequence

from ziggurat.node.address import AddressNetwork, NetAddress, PeerAddress
from ziggurat.node.config.proxy import Proxy
from ziggurat.node.config.ways import TOR_CONTROL, Ways

__all__ = ["find_contradiction"]


def find_contradiction(
    ways: Ways,
    *,
    peers: Sequence[PeerAddress] = (),
    listen: Sequence[NetAddress] = (),
    external: NetAddress | None = None,
    onion_public: bool = False,
) -> str | None:
    """Return why settings cannot work together, in one line that names them; ``None`` if they can.

    Args:
        ways: the way of each network.
        peers: the peers that the user names.
        listen: the addresses to listen on, as given.
        external: the address to advertise, as given.
        onion_public: whether all peers are to be told of the node's onion service.
    """
    return (
        _of_credentials(ways)
        or _of_tor_only(ways, listen, external)
        or _of_onlynet(ways)
        or (_of_onion_public(ways) if onion_public else None)
        or next(filter(None, (_of_peer(ways, peer) for peer in peers)), None)
    )


def _of_credentials(ways: Ways) -> str | None:
    if ways.randomize:
        return None
    proxies = (ways.general, *(each.entry for each in ways.entries))
    with_user = [str(each) for each in proxies if isinstance(each, Proxy) and each.credentials is not None]
    if not with_user:
        return None
    return f"no-proxyrandomize offers no credentials, but the proxy {with_user[0]} has some; drop one of the two"


def _of_tor_only(ways: Ways, listen: Sequence[NetAddress], external: NetAddress | None) -> str | None:
    if not ways.tor_only:
        return None
    if others := [str(network) for network in ways.onlynet if network is not AddressNetwork.ONION]:
        return f"tor-only is onlynet onion, but onlynet {others[0]} is given, too"
    if direct := [str(each.network) for each in ways.entries if each.entry == "direct"]:
        return f"tor-only dials nothing directly, but proxy-net {direct[0]}=direct is given"
    if external is not None:
        shown = external if external.port else external.ip
        return f"externalip {shown} would tell this machine's address to all peers, which tor-only forbids"
    if public := [str(each) for each in listen if not each.ip.is_loopback]:
        return f"listen {public[0]} would let peers connect past Tor, which tor-only forbids; use 127.0.0.1"
    return None


def _of_onlynet(ways: Ways) -> str | None:
    setting = "tor-only" if ways.tor_only else "onlynet"
    wanted = {AddressNetwork.ONION} if ways.tor_only else ways.onlynet
    for network in AddressNetwork:
        way = ways.of_network(network)
        if network in wanted and way.refusal is not None and way.setting != TOR_CONTROL:
            return f"{setting}{'' if ways.tor_only else f' {network}'} leaves nothing to dial: {way.refusal}"
    return None


def _of_onion_public(ways: Ways) -> str | None:
    way = ways.of_network(AddressNetwork.ONION)
    if ways.knows_onions or way.setting == TOR_CONTROL:
        return None
    left_out = AddressNetwork.ONION not in ways.dialled
    reason = way.refusal or ("onlynet leaves them out" if left_out else f"{way.proxy} is not known to be Tor")
    return f"onion-public tells nobody, as only nodes that dial onion services tell of any: {reason}"


def _of_peer(ways: Ways, peer: PeerAddress) -> str | None:
    way = ways.of(peer)
    if way.refusal is None or way.setting == TOR_CONTROL:
        return None
    return f"the peer {peer} cannot be dialled: {way.refusal}"
