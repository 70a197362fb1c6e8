from __future__ import annotations

import gzip
import tracemalloc

import pytest
from grpclib.const import Status
from grpclib.exceptions import GRPCError
from hypothesis import given
from hypothesis import strategies as st

from ziggurat.services.channel.compression import compress, inflate, judge_encoding


@given(st.binary(max_size=5000))
def test_a_message_survives_the_round_trip(message: bytes) -> None:
    assert inflate(compress(message), len(message)) == message
    assert gzip.decompress(compress(message)) == message
    assert inflate(gzip.compress(message), None) == message


def refused(data: bytes, limit: int | None = 1000) -> GRPCError:
    with pytest.raises(GRPCError) as caught:
        inflate(data, limit)
    return caught.value


@pytest.mark.parametrize("limit", [0, 1, 999])
def test_a_message_beyond_the_limit_is_refused(limit: int) -> None:
    error = refused(compress(bytes(limit + 1)), limit)
    assert error.status is Status.RESOURCE_EXHAUSTED
    assert "max_message_size" in str(error.message)


def test_a_decompression_bomb_takes_no_more_memory_than_the_limit() -> None:
    bomb = compress(bytes(64 * 1024 * 1024))
    tracemalloc.start()
    error = refused(bomb, 100_000)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert error.status is Status.RESOURCE_EXHAUSTED
    assert peak < 1_000_000


@pytest.mark.parametrize("cut", range(1, 25))
def test_a_cut_off_message_is_refused(cut: int) -> None:
    assert refused(compress(b"hello world")[:-cut]).status is Status.INTERNAL


@pytest.mark.parametrize(
    ("data", "text"),
    [
        (b"", "cut off"),
        (b"plain text", "not gzip"),
        (compress(b"x")[:-8] + bytes(8), "not gzip"),
        (compress(b"x") + b"tail", "4 bytes after"),
        (compress(b"x") + compress(b"y"), "bytes after"),
    ],
)
def test_anything_but_one_gzip_member_is_refused(data: bytes, text: str) -> None:
    error = refused(data)
    assert error.status is Status.INTERNAL
    assert text in str(error.message)


@given(st.binary(max_size=200))
def test_garbage_raises_only_grpc_errors(data: bytes) -> None:
    try:
        inflate(data, 100)
    except GRPCError:
        pass


@pytest.mark.parametrize(
    ("flag", "encoding", "status"),
    [
        (0, None, None),
        (0, "br", None),
        (1, "gzip", None),
        (1, None, Status.INTERNAL),
        (1, "identity", Status.INTERNAL),
        (1, "deflate", Status.UNIMPLEMENTED),
        (2, "gzip", Status.INTERNAL),
        (255, None, Status.INTERNAL),
    ],
)
def test_flag_and_encoding_must_agree(flag: int, encoding: str | None, status: Status | None) -> None:
    error = judge_encoding(flag, encoding)
    assert (None if error is None else error.status) is status


def test_an_unknown_encoding_is_named() -> None:
    error = judge_encoding(1, "deflate")
    assert error is not None
    assert "'deflate'" in str(error.message)


def test_ten_thousand_empty_members_take_no_more_memory_than_one() -> None:
    data = gzip.compress(b"") * 10_000
    tracemalloc.start()
    try:
        with pytest.raises(GRPCError, match="bytes after its gzip member"):
            inflate(data, 1000)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 2 * len(data) + 100_000
