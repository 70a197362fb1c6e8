"""The rules of the tree, checked in the source: imports, lengths, mirrored tests, exports."""

from __future__ import annotations

import ast
import importlib
import inspect
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from types import FunctionType

import pytest

ROOT = Path(__file__).resolve().parent.parent
PACKAGES = ("services", "layers", "node")  # from the bottom up
MAX_MODULE = 300
MAX_FUNCTION = 50
TOP_LEVEL = {
    *("layers", "services", "node", "tests", "docs"),
    *("pyproject.toml", "README.md", "LICENSE", "CHANGELOG.md", "CONTRIBUTING.md"),
}
FACES = (
    *("ziggurat.services", "ziggurat.layers", "ziggurat.layers.clients", "ziggurat.layers.forward"),
    *("ziggurat.layers.leakcheck", "ziggurat.layers.testing"),
    *("ziggurat.node", "ziggurat.node.testing"),
)
LEAVES = {"TcpConnector", "UnixConnector", "SocketConnector", "Endpoint"}
WAYS_OUT = {
    *("getaddrinfo", "getnameinfo", "gethostbyname", "gethostbyname_ex", "gethostbyaddr"),
    *("create_connection", "open_connection", "sock_connect", "connect_ex", "connect_tcp", "open_tcp_stream"),
}
FAR_ENDS = {("node/cli/demo.py", "connect_tcp")}
"""Exceptions: the demo's embedded proxy opens the connections that it is asked for."""

NOT_ABOUT_A_MODULE = {
    "tests/layers/test_contract.py": "check_layer over all layers",
    "tests/layers/metrics/test_grafana.py": "the board, which is a file for Grafana",
    "tests/layers/testing/test_kit.py": "the folder as users see it",
    "tests/node/address_manager/test_durability.py": "the whole address book, and a process that is killed",
    "tests/node/cli/test_imports.py": "the whole folder: what it loads, and systems without POSIX",
    "tests/node/test_core_checklist.py": "the whole path of a dial, from flags to the bytes that a proxy gets",
    "tests/node/test_documentation.py": "the pages that state the node's limits",
    "tests/node/test_fleet.py": "twenty whole nodes that find each other",
    "tests/node/test_hostile_http2.py": "a whole node, and dialers that abuse HTTP/2",
    "tests/node/test_hostile_peers.py": "a whole node, and malicious peers",
    "tests/node/test_onion_gossip.py": "whole nodes that find each other by onion only",
    "tests/node/test_leaks.py": "whole nodes, cut off at every step",
    "tests/node/test_lost_connections.py": "a whole node, and dialers that leave",
    "tests/node/test_kaspad_cases.py": "the cases shared with a real kaspad",
    "tests/node/wire/test_onion_schema.py": "p2p.proto, beside the schemas of nodes that know onion services or do not",
    "tests/node/wire/test_p2p_proto.py": "p2p.proto and the code generated from it",
    "tests/services/test_imports.py": "what an import of the packages loads",
    "tests/services/http2/test_against_h2.py": "the whole core, compared with another implementation",
    "tests/services/http2/test_hostile_peers.py": "the whole core, and malicious peers",
    "tests/services/http2/test_state_table.py": "the whole core, compared with the table of the documentation",
    "tests/services/channel/test_beside_grpclib.py": "what else of grpclib works beside the channel",
    "tests/services/channel/test_events.py": "grpclib's events, on the channel and on a server with the mixin",
    "tests/services/channel/test_grpclib_contract.py": "the private names of grpclib that we rely on",
    "tests/services/channel/test_like_grpclib.py": "the whole call, compared with grpclib's",
}
"""Test files in a mirrored folder without a module, and what they test."""


def is_generated(path: Path) -> bool:
    return "_pb2" in path.name or path.name.endswith("_grpc.py")


def modules(*packages: str) -> list[Path]:
    """Return our own modules, without generated ones."""
    return [
        path.relative_to(ROOT)
        for package in packages or PACKAGES
        for path in sorted((ROOT / package).rglob("*.py"))
        if not is_generated(path)
    ]


@cache
def tree(path: Path) -> ast.Module:
    return ast.parse((ROOT / path).read_text(encoding="utf-8"), str(path))


def imports(path: Path) -> Iterator[str]:
    """Yield the dotted name of everything that a module imports, anywhere in its code."""
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}:{node.lineno}: a relative import"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def used_names(path: Path) -> set[str]:
    """Return all names and attributes in a module's code, and the names that it imports."""
    names = {name.rpartition(".")[2] for name in imports(path)}
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.Name):
            names.add(node.id)
        elif isinstance(node, ast.Attribute):
            names.add(node.attr)
    return names


def assert_none(complaints: list[str]) -> None:
    assert not complaints, "\n" + "\n".join(complaints)


# --- imports ----------------------------------------------------------------------------------------------------------


def test_imports_only_point_from_node_to_layers_to_services() -> None:
    assert_none(
        [
            f"{path} imports {name}"
            for path in modules()
            for name in imports(path)
            for above in PACKAGES[PACKAGES.index(path.parts[0]) + 1 :]
            if f"{name}.".startswith(f"ziggurat.{above}.")
        ]
    )


def test_nothing_is_imported_by_its_bare_folder_name() -> None:
    assert_none(
        [f"{p} imports {n}" for p in modules() for n in imports(p) if n.partition(".")[0] in {*PACKAGES, "tests"}]
    )


def test_only_the_channel_imports_grpclibs_client() -> None:
    assert_none(
        [
            f"{path} imports {name}"
            for path in modules()
            if path.parts[:2] != ("services", "channel")
            for name in imports(path)
            if f"{name}.".startswith("grpclib.client.")
        ]
    )


def test_only_the_adapters_import_other_peoples_clients() -> None:
    """Each is an extra; nothing else may need it."""
    libraries = {"aiohttp", "httpcore", "httpx", "websockets"}
    assert_none(
        [
            f"{path} imports {name}"
            for path in modules()
            if path.parts[:2] != ("layers", "clients")
            for name in imports(path)
            if name.partition(".")[0] in libraries or name.startswith("ziggurat.layers.clients.")
        ]
    )


def test_only_one_module_imports_aiostem() -> None:
    """It is an extra, and the node needs it only for Tor's control port; who imports that module does it late."""
    assert_none(
        [
            f"{path} imports {name}"
            for path in modules()
            if path != Path("node/tor/aiostem_controller.py")
            for name in imports(path)
            if name.partition(".")[0] == "aiostem"
        ]
    )


def test_the_http2_core_imports_the_standard_library_hpack_and_itself_only() -> None:
    """It does no I/O and knows no event loop."""
    allowed = {*sys.stdlib_module_names, "hpack"} - {"asyncio", "socket", "ssl", "selectors", "threading"}
    assert_none(
        [
            f"{path} imports {name}"
            for path in modules("services")
            if path.parts[:2] == ("services", "http2")
            for name in imports(path)
            if name.partition(".")[0] not in allowed and not name.startswith("ziggurat.services.http2.")
        ]
    )


def test_in_the_node_only_the_connection_handler_makes_connections() -> None:
    complaints = []
    for path in modules("node"):
        if path == Path("node/connection_handler.py"):
            continue
        complaints += [
            f"{path} uses {name}"
            for name in sorted(used_names(path) & (LEAVES | WAYS_OUT))
            if (path.as_posix(), name) not in FAR_ENDS
        ]
        complaints += [
            f"{path} imports {name}"
            for name in imports(path)
            if re.match(r"ziggurat\.services\.(tcp|unix|socket|channel\.endpoint)\b", name)
        ]
    assert_none(complaints)


def test_the_library_imports_no_test_runner() -> None:
    runners = {"pytest", "hypothesis", "unittest", "_pytest"}
    fixtures = Path("layers/testing/fixtures.py")  # for those who name it in pytest_plugins; nothing imports it
    ours = [path for path in modules() if path != fixtures]
    assert_none([f"{p} imports {n}" for p in ours for n in imports(p) if n.partition(".")[0] in runners])
    assert_none([str(path) for path in modules() if "ziggurat.layers.testing.fixtures" in imports(path)])


def test_only_the_command_line_configures_structlog() -> None:
    calls = {"configure", "configure_once"}
    complaints = []
    for path in modules():
        for node in ast.walk(tree(path)):
            match node:
                case ast.Attribute(value=ast.Name(id="structlog"), attr=name) if name in calls:
                    complaints.append(f"{path}:{node.lineno}: structlog.{name}")
                case ast.ImportFrom(module="structlog", names=names) if {n.name for n in names} & calls:
                    complaints.append(f"{path}:{node.lineno}: from structlog import ..")
    assert_none(
        [
            complaint
            for complaint in complaints
            if not complaint.startswith(("node/cli/command.py:", "node/cli/log.py:"))
        ]
    )
    users = [
        str(path) for path in modules() if any(f"{n}.".startswith("ziggurat.node.cli.log.") for n in imports(path))
    ]
    assert set(users) <= {"node/cli/command.py", "node/cli/commands/node.py"}


# --- the rooms of the node --------------------------------------------------------------------------------------------

MAX_ROOMS = 18
MAX_ARROWS = 80


def rooms() -> list[str]:
    """Return the folders and modules at the top of ``node/``."""
    return sorted(
        path.stem
        for path in (ROOT / "node").iterdir()
        if not path.name.startswith(("__", ".")) and (path.suffix == ".py" or (path / "__init__.py").exists())
    )


def room_of(path: Path) -> str:
    return path.parts[1].removesuffix(".py")


def imports_between_rooms() -> Iterator[tuple[Path, str, str]]:
    """Yield each import from another room: the importing module, the other room, and the dotted rest."""
    for path in modules("node"):
        if path.stem.startswith("__") and len(path.parts) == 2:
            continue  # the package itself, and ``python -m``
        for name in imports(path):
            if name.startswith("ziggurat.node."):
                room, _, rest = name.removeprefix("ziggurat.node.").partition(".")
                if room != room_of(path):
                    yield path, room, rest


def test_the_top_of_the_node_has_few_entries() -> None:
    assert len(rooms()) <= MAX_ROOMS, rooms()


def test_the_rooms_of_the_node_have_few_arrows_and_no_cycle() -> None:
    arrows = {(room_of(path), room) for path, room, _ in imports_between_rooms()}
    assert len(arrows) <= MAX_ARROWS
    left = set(rooms())
    while left:
        free = {room for room in left if not any(a == room and b in left for a, b in arrows)}
        assert free, f"a cycle among {sorted(left)}"
        left -= free


def test_rooms_import_only_what_other_rooms_export() -> None:
    complaints = []
    for path, room, rest in imports_between_rooms():
        if (ROOT / "node" / room).is_dir():
            exported = importlib.import_module(f"ziggurat.node.{room}").__all__
            if rest not in exported:
                complaints.append(f"{path} imports {rest} from node/{room}, which does not export it")
    assert_none(complaints)


@pytest.mark.parametrize("room", [room for room in rooms() if (ROOT / "node" / room).is_dir()])
def test_each_folder_of_the_node_has_a_docstring_that_describes_it(room: str) -> None:
    text = ast.get_docstring(tree(Path("node", room, "__init__.py"))) or ""

    assert len(text.splitlines()) >= 3, f"node/{room}/__init__.py: what lives there, and what may import it"


# --- sizes and places -------------------------------------------------------------------------------------------------


def test_no_module_is_too_long() -> None:
    lengths = {path: len((ROOT / path).read_text(encoding="utf-8").splitlines()) for path in modules()}

    assert_none([f"{path}: {length} lines" for path, length in lengths.items() if length > MAX_MODULE])


def test_no_function_is_too_long() -> None:
    complaints = []
    for path in modules():
        for node in ast.walk(tree(path)):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.end_lineno is not None:
                length = node.end_lineno - node.lineno + 1
                if length > MAX_FUNCTION:
                    complaints.append(f"{path}:{node.lineno}: {node.name} has {length} lines")
    assert_none(complaints)


def mirror(path: Path) -> Path:
    return Path("tests", *path.parts[:-1], f"test_{path.name}")


def test_every_module_has_its_test_file() -> None:
    tested = (path for path in modules() if not path.stem.startswith("__"))

    assert_none([f"{path} has no {mirror(path)}" for path in tested if not (ROOT / mirror(path)).is_file()])


def test_every_test_file_has_its_module() -> None:
    """A module may have several: ``test_channel_on_sockets.py`` also tests ``channel.py``."""
    mirrored = {mirror(path).with_suffix("").as_posix() for path in modules()}
    complaints = []
    for package in PACKAGES:
        for path in sorted((ROOT / "tests" / package).rglob("test_*.py")):
            name = path.relative_to(ROOT).with_suffix("").as_posix()
            starts = {name[: match.start()] for match in re.finditer("_|$", name)}
            if not starts & mirrored and f"{name}.py" not in NOT_ABOUT_A_MODULE:
                complaints.append(f"{name}.py tests no module")
    assert_none(complaints)


def test_the_top_level_has_no_other_entries() -> None:
    git = shutil.which("git")
    if git is None or not (ROOT / ".git").exists():
        pytest.skip("not a git checkout, so build products cannot be told apart")
    tracked = subprocess.run([git, "-C", ROOT, "ls-files"], check=True, capture_output=True, text=True).stdout
    top = {line.partition("/")[0] for line in tracked.splitlines()}

    assert_none(sorted(name for name in top if not name.startswith(".") and name not in TOP_LEVEL))


@pytest.mark.parametrize("package", PACKAGES)
def test_each_package_has_a_py_typed_file(package: str) -> None:
    assert (ROOT / package / "py.typed").is_file()


# --- the face ---------------------------------------------------------------------------------------------------------


def exported(face: str) -> list[tuple[str, object]]:
    module = importlib.import_module(face)
    return [(f"{face}.{name}", getattr(module, name)) for name in module.__all__]


@pytest.mark.parametrize("face", FACES)
def test_all_is_sorted_unique_and_importable(face: str) -> None:
    names = list(importlib.import_module(face).__all__)

    assert names == sorted(set(names), key=lambda name: (not name.isupper(), name))  # constants first, as ruff has it
    assert len(exported(face)) == len(names)


def test_every_name_in_a_modules_all_exists() -> None:
    complaints = []
    for path in modules("services", "layers"):
        module = importlib.import_module(".".join(("ziggurat", *path.with_suffix("").parts)).removesuffix(".__init__"))
        complaints += [f"{path}: {name}" for name in getattr(module, "__all__", ()) if not hasattr(module, name)]
    assert_none(complaints)


def is_ours(thing: object) -> bool:
    """Return whether this is our code, and not generated."""
    if not isinstance(thing, type | FunctionType):
        return False
    return thing.__module__.startswith("ziggurat.") and "_pb2" not in thing.__module__


@pytest.mark.parametrize("face", FACES)
def test_everything_public_has_a_docstring(face: str) -> None:
    complaints = []
    for name, thing in exported(face):
        text = vars(thing).get("__doc__") if isinstance(thing, type) else thing.__doc__
        # The default docstring of a dataclass is its signature.
        if is_ours(thing) and (not text or text.startswith(f"{name.rpartition('.')[2]}(")):
            complaints.append(name)
    assert_none(complaints)


def public_functions(name: str, thing: object) -> Iterator[tuple[str, Callable[..., object]]]:
    if isinstance(thing, FunctionType):
        yield name, thing
    elif isinstance(thing, type):
        for attribute, value in vars(thing).items():
            if attribute.startswith("_") and attribute not in {"__init__", "__call__", "__aenter__", "__enter__"}:
                continue
            if isinstance(value, property):
                value = value.fget
            if isinstance(value, staticmethod | classmethod):
                value = value.__func__
            if isinstance(value, FunctionType):
                yield f"{name}.{attribute}", value


@pytest.mark.parametrize("face", FACES)
def test_no_public_signature_uses_any(face: str) -> None:
    complaints = []
    for name, thing in exported(face):
        if not is_ours(thing):
            continue
        for where, function in public_functions(name, thing):
            annotations = inspect.get_annotations(function)
            if where.endswith(".extra_attributes"):
                continue  # anyio's own signature
            complaints += [
                f"{where}: {key}: {value}" for key, value in annotations.items() if re.search(r"\bAny\b", str(value))
            ]
    assert_none(complaints)
