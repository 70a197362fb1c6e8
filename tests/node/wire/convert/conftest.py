"""Hypothesis strategies for the node's types: ``st.from_type(Header)`` and so on generate valid values."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address

from hypothesis import strategies as st

from ziggurat.node.address import NetAddress, OnionNetAddress
from ziggurat.node.wire.convert.block import Block
from ziggurat.node.wire.convert.header import Header
from ziggurat.node.wire.convert.transaction import (
    CovenantBinding,
    Outpoint,
    ScriptPublicKey,
    Transaction,
    TransactionInput,
    TransactionOutput,
)
from ziggurat.node.wire.convert.version import Version, truncated_user_agent
from ziggurat.services.onion import OnionAddress


def unsigned(bits: int) -> st.SearchStrategy[int]:
    return st.integers(0, (1 << bits) - 1)


hashes = st.binary(min_size=32, max_size=32)
few_hashes = st.lists(hashes, max_size=3).map(tuple)
# Few different levels, so that runs occur.
parents = st.lists(
    st.sampled_from([(), (b"a" * 32,), (b"b" * 32,), (b"a" * 32, b"b" * 32)]) | few_hashes, max_size=255
).map(tuple)
headers = st.builds(
    Header,
    version=unsigned(16),
    parents=parents,
    hash_merkle_root=hashes,
    accepted_id_merkle_root=hashes,
    utxo_commitment=hashes,
    timestamp=unsigned(63),
    bits=unsigned(32),
    nonce=unsigned(64),
    daa_score=unsigned(64),
    blue_work=unsigned(192) | unsigned(16),
    blue_score=unsigned(64),
    pruning_point=hashes,
)
outputs = st.builds(
    TransactionOutput,
    value=unsigned(64),
    script_public_key=st.builds(ScriptPublicKey, version=unsigned(16), script=st.binary(max_size=40)),
    covenant=st.none() | st.builds(CovenantBinding, authorizing_input=unsigned(16), covenant_id=hashes),
)


def transactions(version: int) -> st.SearchStrategy[Transaction]:
    return st.builds(
        Transaction,
        version=st.just(version),
        inputs=st.lists(
            st.builds(
                TransactionInput,
                previous_outpoint=st.builds(Outpoint, transaction_id=hashes, index=unsigned(32)),
                signature_script=st.binary(max_size=40),
                sequence=unsigned(64),
                compute_commit=unsigned(16 if version else 8),
            ),
            max_size=3,
        ).map(tuple),
        outputs=st.lists(outputs, max_size=3).map(tuple),
        lock_time=unsigned(64),
        subnetwork_id=st.binary(min_size=20, max_size=20),
        gas=unsigned(64),
        payload=st.binary(max_size=40),
        storage_mass=unsigned(64),
    )


any_transaction = unsigned(16).flatmap(transactions) | transactions(0)
net_addresses = st.builds(
    NetAddress,
    ip=st.builds(IPv4Address, unsigned(32)) | st.builds(IPv6Address, unsigned(128)),
    port=unsigned(16),
)
onion_addresses = st.builds(
    OnionNetAddress, onion=st.builds(OnionAddress, st.binary(min_size=32, max_size=32)), port=unsigned(16)
)

st.register_type_strategy(NetAddress, net_addresses)
st.register_type_strategy(OnionNetAddress, onion_addresses)
st.register_type_strategy(Header, headers)
st.register_type_strategy(Transaction, any_transaction)
st.register_type_strategy(
    Block, st.builds(Block, header=headers, transactions=st.lists(any_transaction, max_size=2).map(tuple))
)
st.register_type_strategy(
    Version,
    st.builds(
        Version,
        protocol_version=unsigned(32),
        network=st.text(max_size=20),
        id=st.binary(min_size=16, max_size=16),
        user_agent=st.text(max_size=300).map(truncated_user_agent),
        timestamp=unsigned(63),
        services=unsigned(64),
        address=st.none() | net_addresses,
        disable_relay_tx=st.booleans(),
        subnetwork_id=st.none() | st.binary(min_size=20, max_size=20),
    ),
)
