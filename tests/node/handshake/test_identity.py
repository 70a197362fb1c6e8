from __future__ import annotations

import importlib.metadata
from dataclasses import replace

import pytest

from ziggurat.node.address import AddressNetwork, NetAddress
from ziggurat.node.handshake.identity import NodeIdentity, user_agent


def test_the_user_agent_names_ziggurat_and_its_version() -> None:
    version = importlib.metadata.version("ziggurat")

    assert user_agent() == f"/ziggurat:{version}/"
    assert user_agent(["one", "two"]) == f"/ziggurat:{version}(one; two)/"


def test_a_long_user_agent_is_cut() -> None:
    assert len(user_agent(["x" * 300]).encode()) == 256


@pytest.mark.parametrize("comment", ["a/b", "(", "a:b", "\n"])
def test_a_comment_with_special_characters_is_refused(comment: str) -> None:
    with pytest.raises(ValueError, match="bad user agent comment"):
        user_agent([comment])


def test_each_identity_has_a_new_id() -> None:
    assert NodeIdentity("n").id != NodeIdentity("n").id
    assert len(NodeIdentity("n").id) == 16


def test_the_version_contains_the_identity() -> None:
    address = NetAddress.parse("1.2.3.4:5")
    version = NodeIdentity("kaspa-devnet", "/x/", b"i" * 16, address).version(timestamp=7)

    assert (version.network, version.user_agent, version.id, version.address) == (
        "kaspa-devnet",
        "/x/",
        b"i" * 16,
        address,
    )
    assert (version.protocol_version, version.services, version.timestamp) == (11, 0, 7)
    assert NodeIdentity("n").version().timestamp > 1_600_000_000_000
    assert NodeIdentity("n").version().address is None


def test_an_invalid_identity_is_refused() -> None:
    with pytest.raises(ValueError, match="network must not be empty"):
        NodeIdentity("")
    with pytest.raises(ValueError, match="id must have 16 bytes, not 3"):
        NodeIdentity("n", id=b"abc")


def test_each_network_sees_an_id_of_its_own_and_only_an_address_of_its_own() -> None:
    address = NetAddress.parse("1.2.3.4:5")
    identity = NodeIdentity("n", id=b"i" * 16, address=address)
    faces = {network: identity.of_network(network) for network in AddressNetwork}

    assert faces[AddressNetwork.IPV4].id == b"i" * 16
    assert len({face.id for face in faces.values()}) == 3
    assert {str(network): face.address for network, face in faces.items()} == {
        "ipv4": address,
        "ipv6": None,
        "onion": None,
    }
    assert {(face.network, face.user_agent) for face in faces.values()} == {("n", identity.user_agent)}


def test_the_ids_of_networks_stay_and_cannot_be_computed_from_one_another() -> None:
    identity, twin = NodeIdentity("n", id=b"i" * 16), NodeIdentity("n", id=b"i" * 16)
    moved = replace(identity, address=NetAddress.parse("1.2.3.4:5"))

    assert moved.of_network(AddressNetwork.ONION).id == identity.of_network(AddressNetwork.ONION).id
    assert twin.of_network(AddressNetwork.ONION).id != identity.of_network(AddressNetwork.ONION).id
    assert identity.secret.hex() not in repr(identity)
    assert repr(identity.secret) not in repr(identity)
