from __future__ import annotations

import json

from ziggurat.node.address import NetAddress
from ziggurat.node.cli.json_output import dial_as_json, peer_record
from ziggurat.node.peer.info import PeerInfo
from ziggurat.services import ConnectRefused, ProxyRefused, Uri

URI = Uri.parse("http://h:1")
PEER = PeerInfo(b"\1" * 16, NetAddress.parse("192.0.2.1:1"), "outbound", None, "/k:1/", 11, "kaspa-devnet", 0, 0.0)


def test_a_peer_that_answered() -> None:
    report = dial_as_json(URI, None, None, peer_record(PEER))

    assert json.loads(json.dumps(report)) == {
        "schema": 1,
        "ok": True,
        "target": "http://h:1",
        "via": None,
        "phases": [],
        "peer": {
            "id": "01" * 16,
            "user_agent": "/k:1/",
            "protocol_version": 11,
            "network": "kaspa-devnet",
            "services": 0,
        },
    }


def test_a_proxy_error_has_its_reply_code() -> None:
    report = dial_as_json(URI, "tor:9050", None, ProxyRefused("no route", reply_code=4))

    assert report["error"] == {"type": "ProxyRefused", "phase": None, "message": "no route", "reply_code": 4}
    assert report["ok"] is False
    assert "peer" not in report


def test_other_errors_have_no_reply_code() -> None:
    error = ConnectRefused("refused")
    error.phase = "tcp"

    assert dial_as_json(URI, None, None, error)["error"] == {
        "type": "ConnectRefused",
        "phase": "tcp",
        "message": "tcp failed: refused",
        "reply_code": None,
    }
