"""The schema matches the network's, and the committed code matches the schema.

``schema.txt`` holds the numbers, names and types of kaspad 2.1.0, extracted from its schema by a script.

Comparing the bytes needs the pinned compiler, which requires an older protobuf than this environment may have. It is
taken from this interpreter if installed, else from the interpreter that ``ZIGGURAT_PROTO_PYTHON`` names.
"""

from __future__ import annotations

import importlib.util
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from google.protobuf import descriptor_pb2, descriptor_pool
from google.protobuf.descriptor import FieldDescriptor

from ziggurat.node.wire import p2p_pb2

ROOT = Path(__file__).parents[3]
WIRE = ROOT / "node" / "wire"
NAME = "ziggurat/node/wire/p2p.proto"
PINS = dict(re.findall(r'"([\w-]+)==([\d.]+)"', (WIRE / "__init__.py").read_text()))
TYPES = {"bool": 8, "bytes": 12, "int64": 3, "string": 9, "uint32": 13, "uint64": 4}
SCHEMA = (Path(__file__).parent / "schema.txt").read_text().splitlines()


def payloads() -> list[tuple[int, str, str]]:
    rows = (re.fullmatch(r"(\d+) (\w+) (\w+)", line) for line in SCHEMA)
    return [(int(row[1]), row[2], row[3]) for row in rows if row]


def messages() -> dict[str, list[tuple[int, str, str]]]:
    rows = (re.fullmatch(r"(\w+):(.*)", line) for line in SCHEMA)
    return {
        row[1]: [(int(number), name, kind) for number, name, kind in re.findall(r"(\d+) (\w+) ([\w\[\]]+)", row[2])]
        for row in rows
        if row
    }


def compiler() -> str | None:
    """Return the interpreter that has the pinned versions, or ``None``."""
    ask = f"import importlib.metadata as m; print(all(m.version(n) == v for n, v in {PINS}.items()))"
    for python in (sys.executable, os.environ.get("ZIGGURAT_PROTO_PYTHON")):
        if python and subprocess.run([python, "-c", ask], capture_output=True, text=True).stdout.strip() == "True":
            return python
    return None


def compile_schema(python: str, *arguments: str) -> None:
    # protoc looks for its plugin on PATH; pip puts it beside the interpreter.
    path = os.pathsep.join([str(Path(python).parent), os.environ.get("PATH", "")])
    command = [python, "-m", "grpc_tools.protoc", "-I", str(ROOT / ".dev"), *arguments, NAME]
    subprocess.run(command, check=True, capture_output=True, env={**os.environ, "PATH": path})


def shape(field: FieldDescriptor) -> tuple[int, str, int | str, bool]:
    kind = field.message_type.name if field.message_type is not None else field.type
    repeated = getattr(field, "is_repeated", None)
    if repeated is None:
        repeated = field.label == field.LABEL_REPEATED
    return field.number, field.name, kind, bool(repeated)


def test_the_schema_table_is_complete() -> None:
    assert (len(payloads()), len(messages())) == (53, 72)


def test_every_payload_has_the_networks_number_name_and_type() -> None:
    oneof = p2p_pb2.KaspadMessage.DESCRIPTOR.oneofs_by_name["payload"]

    assert sorted((f.number, f.name, f.message_type.name) for f in oneof.fields) == sorted(payloads())


def test_the_envelope_has_two_ids_beside_its_payload() -> None:
    rest = [f for f in p2p_pb2.KaspadMessage.DESCRIPTOR.fields if f.containing_oneof is None]

    assert [shape(f) for f in rest] == [(101, "response_id", 13, False), (102, "request_id", 13, False)]


def test_there_are_no_other_messages() -> None:
    assert set(p2p_pb2.DESCRIPTOR.message_types_by_name) == {"KaspadMessage", *messages()}


@pytest.mark.parametrize("name", sorted(messages()))
def test_every_message_has_the_networks_fields(name: str) -> None:
    expected = [
        (number, field, TYPES.get(kind.removesuffix("[]"), kind.removesuffix("[]")), kind.endswith("[]"))
        for number, field, kind in messages()[name]
    ]

    assert sorted(shape(f) for f in p2p_pb2.DESCRIPTOR.message_types_by_name[name].fields) == expected


def test_an_address_is_an_ip_or_an_onion_service() -> None:
    oneof = p2p_pb2.NetAddress.DESCRIPTOR.oneofs_by_name["host"]

    assert [field.name for field in oneof.fields] == ["ip", "onion"]


def test_the_rpc_schema_of_kaspad_can_be_loaded_beside_ours() -> None:
    theirs = descriptor_pb2.FileDescriptorProto(name="messages.proto", package="protowire", syntax="proto3")
    theirs.message_type.add(name="KaspadMessage")
    pool = descriptor_pool.DescriptorPool()
    pool.AddSerializedFile(p2p_pb2.DESCRIPTOR.serialized_pb)
    pool.AddSerializedFile(theirs.SerializeToString())

    assert pool.FindMessageTypeByName("protowire.KaspadMessage") is not None
    assert pool.FindMessageTypeByName("ziggurat.p2p.KaspadMessage") is not None


def test_the_committed_code_describes_the_committed_schema(tmp_path: Path) -> None:
    """Compare the descriptors, which any compiler can produce."""
    if importlib.util.find_spec("grpc_tools") is None:
        pytest.skip("grpcio-tools is not installed")
    found = tmp_path / "p2p.bin"
    compile_schema(sys.executable, f"--descriptor_set_out={found}")
    (described,) = descriptor_pb2.FileDescriptorSet.FromString(found.read_bytes()).file
    for message in described.message_type:
        for field in message.field:
            field.ClearField("json_name")
    committed = descriptor_pb2.FileDescriptorProto()
    p2p_pb2.DESCRIPTOR.CopyToProto(committed)
    for message in committed.message_type:
        for field in message.field:
            field.ClearField("json_name")

    assert committed == described


def test_generating_the_code_again_changes_nothing(tmp_path: Path) -> None:
    python = compiler()
    if python is None:
        pytest.skip(f"no interpreter with {PINS}; ZIGGURAT_PROTO_PYTHON may name one")
    compile_schema(python, f"--python_out={tmp_path}", f"--mypy_out={tmp_path}")

    for name in ("p2p_pb2.py", "p2p_pb2.pyi"):
        assert (tmp_path / "ziggurat/node/wire" / name).read_text() == (WIRE / name).read_text(), name
