"""The pages on the node's limits agree with the code: every figure in their tables is compared."""

from __future__ import annotations

import importlib
import inspect
import re
from collections.abc import Iterator
from dataclasses import astuple, is_dataclass
from pathlib import Path

import pytest

from tests.node.hostile import FLOOD_BOUND, HANDSHAKE_BOUND, MIB, PEER_BOUND, STORM_BOUND
from ziggurat.node import connection_handler
from ziggurat.node.config.options import OPTIONS
from ziggurat.node.peer.router import READS_PER_YIELD
from ziggurat.node.peer.turns import CYCLE
from ziggurat.services import Endpoint
from ziggurat.services.channel.options import ConnectionOptions

ROOT = Path(__file__).parents[2]
EXPLANATION = ROOT / "docs" / "explanation"
REACHED, COST = EXPLANATION / "how-a-peer-is-reached.md", EXPLANATION / "what-a-peer-can-cost.md"

UNITS = {"": 1, "s": 1, "KiB": 1024, "MiB": 1024 * 1024}
FIGURE = r"([\d.]+)(?: (s|KiB|MiB)\b)?"
NAMED = re.compile(rf"`([A-Z][A-Za-z_]+)` ({FIGURE}(?:[^|`]*?{FIGURE})*)")


def rows(page: Path) -> Iterator[list[str]]:
    """The cells of each row that names a file."""
    for line in page.read_text(encoding="utf-8").splitlines():
        if line.startswith("| ") and re.search(r"\| `[a-z_/]+\.py` \|", line):
            yield [cell.strip() for cell in line.strip("|").split("|")]


def figures(page: Path) -> Iterator[tuple[str, str, list[float]]]:
    """The file, name and figures of each constant in a table."""
    for cells in rows(page):
        file = next(cell for cell in cells if re.fullmatch(r"`[a-z_/]+\.py`", cell)).strip("`")
        for cell in cells:
            for name, text, *_ in NAMED.findall(cell):
                yield file, name, [float(number) * UNITS[unit] for number, unit in re.findall(FIGURE, text)]


def module(file: str) -> object:
    return importlib.import_module("ziggurat." + file.removesuffix(".py").replace("/", "."))


def in_code(file: str, name: str) -> list[float]:
    value = getattr(module(file), name)
    if is_dataclass(value) and isinstance(value, type):
        value = value()
    return list(astuple(value)) if is_dataclass(value) else [value]  # type: ignore[arg-type]


@pytest.mark.parametrize("page", [REACHED, COST], ids=lambda page: page.stem)
def test_every_figure_agrees_with_the_code(page: Path) -> None:
    found = list(figures(page))

    assert len(found) > 10
    for file, name, documented in found:
        actual = in_code(file, name)
        assert set(documented) <= set(actual), f"{page.name}: `{name}` of {file} is {actual}, not {documented}"


@pytest.mark.parametrize("page", [REACHED, COST], ids=lambda page: page.stem)
def test_every_file_exists(page: Path) -> None:
    assert list(rows(page))
    for file in re.findall(r"`((?:node|services|tests)/[a-z_/]+\.py)`", page.read_text(encoding="utf-8")):
        assert (ROOT / file).is_file(), file


def test_every_setting_is_in_the_quick_reference() -> None:
    documented = {flag for cells in rows(REACHED) for flag in re.findall(r"--([a-z0-9-]+)", cells[0])}

    assert documented == {option.name for option in OPTIONS}


def test_every_limit_of_the_connection_handler_is_documented() -> None:
    constants = re.findall(r"^([A-Z][A-Z_]+) = ", inspect.getsource(connection_handler), re.MULTILINE)

    assert len(constants) == 9
    assert set(constants) <= {name for _, name, _ in figures(REACHED)}


def test_the_default_of_http2_timeout_is_documented() -> None:
    default = inspect.signature(Endpoint).parameters["http2_timeout"].default

    assert f"`services/channel/endpoint.py` | {default:g} s |" in REACHED.read_text(encoding="utf-8")


def test_the_totals_are_those_that_the_tests_measure() -> None:
    text = COST.read_text(encoding="utf-8")

    assert f"**{PEER_BOUND // MIB} MiB**" in text
    assert (
        f"below {FLOOD_BOUND // MIB} MiB, a storm of three hundred dialers below {STORM_BOUND // MIB} MiB"
        in " ".join(text.split())
    )
    assert f"below {HANDSHAKE_BOUND // MIB} MiB" in " ".join(text.split())
    assert f"after each {READS_PER_YIELD} messages" in text
    assert f"`CYCLE` {CYCLE} seconds" in text


def test_the_stack_in_the_picture_agrees_with_the_code() -> None:
    picture = (EXPLANATION / "how-a-peer-is-reached.svg").read_text(encoding="utf-8")
    stack = connection_handler.ConnectionHandler(connection_handler.proxy_layer("127.0.0.1:9050")).stack()
    layers = [type(layer).__name__.removesuffix("Layer").lower() for layer in stack.layers]

    shown = re.findall(r">(logging|timeout|socks5|keepalive)\b[^<]*</text>", picture)
    assert shown == layers


def test_figures_of_lower_layers_agree_with_those_layers() -> None:
    page = COST.read_text("utf-8")
    assert f"`max_frame_size` {ConnectionOptions().max_frame_size // 1024} KiB" in page
    assert f"`max_header_list_size` {ConnectionOptions().max_header_list_size // 1024} KiB" in page
