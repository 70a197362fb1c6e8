"""The ``--json`` output of a dial: one object, with the version of its schema."""

from __future__ import annotations

from typing import TypedDict

from ziggurat.node.cli.waterfall import phase_records
from ziggurat.node.peer import PeerInfo
from ziggurat.services import ConnectError, Ledger, ProxyError, Uri

__all__ = ["PeerRecord", "dial_as_json", "peer_record"]

SCHEMA = 1


class PeerRecord(TypedDict):
    """The peer, as ``--json`` prints it."""

    id: str
    user_agent: str
    protocol_version: int
    network: str
    services: int


def peer_record(info: PeerInfo) -> PeerRecord:
    """Return the peer's description of itself; the id in hex."""
    return PeerRecord(
        id=info.id.hex(),
        user_agent=info.user_agent,
        protocol_version=info.protocol_version,
        network=info.network,
        services=info.services,
    )


def dial_as_json(
    target: Uri, via: str | None, ledger: Ledger | None, outcome: PeerRecord | Exception | None
) -> dict[str, object]:
    """Return the object: ``schema``, ``ok``, ``target``, ``via``, ``phases``, and either ``peer`` or ``error``."""
    report: dict[str, object] = {
        "schema": SCHEMA,
        "ok": not isinstance(outcome, Exception),
        "target": str(target),
        "via": via,
        "phases": [] if ledger is None else phase_records(ledger.phases),
    }
    if isinstance(outcome, Exception):
        report["error"] = {
            "type": type(outcome).__name__,
            "phase": outcome.phase if isinstance(outcome, ConnectError) else None,
            "message": str(outcome),
            "reply_code": outcome.reply_code if isinstance(outcome, ProxyError) else None,
        }
    else:
        report["peer"] = outcome
    return report
