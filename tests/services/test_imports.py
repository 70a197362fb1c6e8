"""What an import loads, seen in a fresh interpreter."""

from __future__ import annotations

import pickle
import subprocess
import sys

import pytest

import ziggurat.services

pytestmark = pytest.mark.slow

CLIENTS = {"aiohttp", "asyncpg", "httpcore", "httpx", "websockets"}
HEAVY = {"grpclib", "h2", "hpack", "google.protobuf", "multidict", "dns", "opentelemetry", "prometheus_client"}


def fresh(code: str) -> list[str]:
    """Run ``code`` in an interpreter that has imported nothing of ours; return the words that it prints."""
    code = f"import sys; sys.path[:0] = {sys.path!r}\n{code}"
    command = [sys.executable, "-c", code]
    return subprocess.run(command, check=True, capture_output=True, text=True, timeout=60).stdout.split()


@pytest.mark.parametrize(
    "module",
    [
        *("ziggurat.services", "ziggurat.services.tcp", "ziggurat.services.stream_transport"),
        *("ziggurat.layers", "ziggurat.layers.clients", "ziggurat.layers.testing"),
    ],
)
def test_connectors_and_layers_load_no_grpc_and_no_http2(module: str) -> None:
    loaded = set(fresh(f"import {module}; print(*sys.modules)"))

    assert module in loaded
    assert not (HEAVY | CLIENTS) & loaded


def test_the_channel_is_loaded_at_the_first_use_of_one_of_its_names() -> None:
    code = """
import ziggurat.services
assert "grpclib" not in sys.modules
print(ziggurat.services.Endpoint("http://api.example").uri.authority, "grpclib" in sys.modules)
"""
    assert fresh(code) == ["api.example:80", "True"]


def test_a_star_import_has_every_name() -> None:
    code = """
from ziggurat.services import *
import ziggurat.services
print(sorted(set(ziggurat.services.__all__) - set(globals())))
"""
    assert fresh(code) == ["[]"]


def test_dir_has_every_name_before_the_channel_is_loaded() -> None:
    code = """
import ziggurat.services
print(sorted(set(ziggurat.services.__all__) - set(dir(ziggurat.services))), "grpclib" in sys.modules)
"""
    assert fresh(code) == ["[]", "False"]


def test_the_names_are_the_channels_own() -> None:
    from ziggurat.services import channel

    lazy = set(channel.__all__) & set(ziggurat.services.__all__)
    assert {"Channel", "Endpoint"} < lazy
    assert all(getattr(ziggurat.services, name) is getattr(channel, name) for name in lazy)


def test_a_channels_settings_can_be_pickled() -> None:
    backoff = ziggurat.services.Backoff(2.0)

    assert pickle.loads(pickle.dumps(ziggurat.services.Backoff)) is ziggurat.services.Backoff
    assert pickle.loads(pickle.dumps(backoff)) == backoff


def test_a_name_that_is_not_there_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match=r"module 'ziggurat\.services' has no attribute 'Endpint'"):
        ziggurat.services.Endpint  # type: ignore[attr-defined]
