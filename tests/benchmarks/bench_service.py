"""The gRPC service of all benchmarks: paths and messages, without generated code."""

from __future__ import annotations

from google.protobuf.wrappers_pb2 import BytesValue, Int64Value

__all__ = ["DOWNLOAD", "IDLE", "MANY", "MIB", "SMALL", "UNARY", "UPLOAD", "BytesValue", "Int64Value"]

MIB = 1024 * 1024

SMALL = 100
"""Bytes of a small message."""

UNARY = "/bench.Bench/Unary"
"""BytesValue -> BytesValue: an echo."""
DOWNLOAD = "/bench.Bench/Download"
"""Int64Value n -> stream of n BytesValues of 1 MiB."""
MANY = "/bench.Bench/Many"
"""Int64Value n -> stream of n BytesValues of 100 bytes."""
UPLOAD = "/bench.Bench/Upload"
"""Stream of BytesValue -> Int64Value: the number of bytes received."""
IDLE = "/bench.Bench/Idle"
"""Stream of BytesValue -> stream of BytesValue: an echo for as long as the client keeps it open."""
