"""The messages of grpclib's tests: ``DummyRequest`` and ``DummyReply``, each with a text ``value``."""

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

MESSAGES = ("DummyRequest", "DummyReply")
METHODS = ("UnaryUnary", "UnaryStream", "StreamUnary", "StreamStream")


def describe() -> descriptor_pb2.FileDescriptorProto:
    """Return what a compiler makes of the file's text."""
    file = descriptor_pb2.FileDescriptorProto(name="dummy.proto", package="dummy", syntax="proto3")
    for name in MESSAGES:
        kind = descriptor_pb2.FieldDescriptorProto
        file.message_type.add(name=name).field.add(
            name="value", json_name="value", number=1, label=kind.LABEL_OPTIONAL, type=kind.TYPE_STRING
        )
    service = file.service.add(name="DummyService")
    for name in METHODS:
        service.method.add(
            name=name,
            input_type=".dummy.DummyRequest",
            output_type=".dummy.DummyReply",
            client_streaming=name.startswith("Stream"),
            server_streaming=name.endswith("Stream"),
        )
    return file


DESCRIPTOR = descriptor_pool.Default().AddSerializedFile(describe().SerializeToString())
DummyRequest, DummyReply = (
    message_factory.GetMessageClass(DESCRIPTOR.message_types_by_name[name]) for name in MESSAGES
)
