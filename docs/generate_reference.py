"""Write docs/reference/ from the docstrings: ``python docs/generate_reference.py``.

The pages are committed, so that they can be read where the code is read; a test keeps them as this script writes them.
The tables of phases and events come from the code itself: from every call that enters or writes one.
"""

from __future__ import annotations

import ast
import contextlib
import importlib
import inspect
import io
import os
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

from reference_entries import describe, literal_docs, markdown, summary
from reference_node import KASPAD_MESSAGE, event_keys, event_meaning, key_table, settings_page

ROOT = Path(__file__).parent.parent
NOTICE = "\n---\n\nWritten by `docs/generate_reference.py` from the docstrings and the code: change those.\n"


def module_page(title: str, name: str, *, without: tuple[str, ...] = ()) -> str:
    """Everything that a package exports."""
    package = importlib.import_module(name)
    out = [f"# {title}\n", f"`{name}`: {markdown(package.__doc__)}"]
    for each in package.__all__:
        if each not in without:
            out += describe(each, getattr(package, each), _alias_docs(package))
    return "\n".join(out)


def _alias_docs(package: ModuleType) -> dict[str, str]:
    docs: dict[str, str] = {}
    for path in sorted(Path(str(package.__file__)).parent.glob("*.py")):
        docs |= literal_docs(ast.parse(path.read_text(encoding="utf-8")))
    return docs


def errors_page() -> str:
    """The tree, and what each error has."""
    module = importlib.import_module("ziggurat.services.errors")
    out = ["# Errors\n", markdown(module.__doc__)]
    for name in sorted(module.__all__, key=lambda each: list(vars(module)).index(each)):
        thing = getattr(module, name)
        out.append(f"## `{name}`\n")
        out.append(f"Bases: {', '.join(f'`{base.__name__}`' for base in thing.__bases__)}\n")
        out.append(markdown(thing.__doc__))
        if issubclass(thing, module.ConnectError):
            out.append(f"`transient` unless it says otherwise: `{thing._transient}`\n")
    return "\n".join(out)


def sources() -> Iterator[tuple[str, ast.Module]]:
    """The project's modules, the testing kits and generated code aside."""
    for folder in ("services", "layers", "node"):
        for path in sorted((ROOT / folder).rglob("*.py")):
            if "testing" not in path.parts and "_pb2" not in path.name:
                yield path.relative_to(ROOT).as_posix(), ast.parse(path.read_text(encoding="utf-8"))


def calls(tree: ast.AST, name: str | None = None) -> Iterator[ast.Call]:
    """The calls of a function or method of this name, or all calls, from top to bottom."""
    found = [node for node in ast.walk(tree) if isinstance(node, ast.Call) and name in (None, called(node))]
    yield from sorted(found, key=lambda node: (node.lineno, node.col_offset))


def called(call: ast.Call) -> str:
    return str(getattr(call.func, "id", getattr(call.func, "attr", "")))


def phases_page() -> str:
    """Every phase that the code enters, with its limit."""
    rows: list[tuple[str, str, str, str]] = []
    notes: list[tuple[str, str]] = []
    for path, tree in sources():
        about = f"`{path}`: {summary(ast.get_docstring(tree))}"
        for function in ast.walk(tree):
            if isinstance(function, (ast.FunctionDef, ast.AsyncFunctionDef)):
                for call in calls(function, "phase"):
                    if call.args and isinstance(call.args[0], ast.Constant):
                        limit, default = _limit_of(path, function, call)
                        rows.append((str(call.args[0].value), about, limit, default))
        for call in calls(tree, "set_options"):
            notes += [(name, about) for name in _strings(_keyword(call, "name"))]
    text = "# Phases\n\nThe steps of a dial that the library enters in the ledger, and what limits each. "
    text += "A layer of your own adds\nits own names. A chain of proxies repeats names; `via` tells them apart.\n\n"
    text += "| phase | entered by | limit | default |\n|---|---|---|---|\n"
    text += "".join(f"| `{a}` | {b} | {c} | {d} |\n" for a, b, c, d in rows)
    text += "\nSome things take no time; they are in the ledger with a note when there is something to say:\n\n"
    text += "| entry | from |\n|---|---|\n" + "".join(f"| `{a}` | {b} |\n" for a, b in notes)
    phase = importlib.import_module("ziggurat.services.ledger").Phase
    return f"{text}\n## What a phase has\n\n{markdown(phase.__doc__)}"


def _limit_of(path: str, function: ast.AST, call: ast.Call) -> tuple[str, str]:
    wanted = getattr(_keyword(call, "limit"), "id", None)
    bound: list[tuple[ast.AST | None, ast.expr]] = []
    for node in ast.walk(function):
        if isinstance(node, ast.withitem):
            bound.append((node.optional_vars, node.context_expr))
        elif isinstance(node, ast.Assign):
            bound.append((node.targets[0], node.value))
    # The last one above the call: a function may have two limits of the same name.
    above = [value for target, value in bound if getattr(target, "id", "") == wanted and value.lineno <= call.lineno]
    if wanted is None or not above:
        return "", ""
    limit = next(calls(max(above, key=lambda value: value.lineno), "Limit"))
    return _setting(path, getattr(limit.args[0], "attr", ""))


def _setting(path: str, field: str) -> tuple[str, str]:
    module = "ziggurat." + path.removesuffix(".py").replace("/", ".")
    exported = [importlib.import_module(f"ziggurat.{each}") for each in ("layers", "services")]
    owners = [vars(package)[name] for package in exported for name in package.__all__]
    owners.sort(key=lambda owner: getattr(owner, "__module__", "") != module)  # the module's own first
    for owner in owners:
        if inspect.isclass(owner) and (owner.__module__ == module or owner.__name__ == "Endpoint"):
            with contextlib.suppress(ValueError, TypeError):
                found = inspect.signature(owner).parameters
                if field in found:
                    return f"`{owner.__name__}({field}=)`", repr(found[field].default)
    raise LookupError(f"{path}: whose setting is {field!r}?")


def _keyword(call: ast.Call, name: str) -> ast.expr | None:
    return next((keyword.value for keyword in call.keywords if keyword.arg == name), None)


def _strings(node: ast.AST | None) -> list[str]:
    return [n.value for n in ast.walk(node) if isinstance(n, ast.Constant) and isinstance(n.value, str)] if node else []


def events_page() -> str:
    """Every event that the code writes, and what it means."""
    rows: list[tuple[str, str, list[str], str]] = []
    names = [
        name for _, tree in sources() for c in calls(tree, "set_options") for name in _strings(_keyword(c, "name"))
    ]
    for path, tree in sources():
        for node in calls(tree):
            function, arguments = called(node), node.args
            if function == "write_event" and len(arguments) == 3:
                levels, event = _levels(arguments[1]), arguments[2]
            elif function in ("debug", "info", "warning", "error") and arguments:
                levels, event = function, arguments[0]
            else:
                continue
            found = [f"{name}.skipped" for name in names] if isinstance(event, ast.JoinedStr) else _strings(event)
            keys = event_keys(node)
            rows += [(name, levels, keys, path) for name in found if re.fullmatch(r"[a-z_]+(\.[a-z_]+)+", name)]
    logging = importlib.import_module("ziggurat.layers.logging")
    text = "# Events\n\nWhat is written to the log, an event a line; as JSON each line also has `event`, `timestamp` "
    text += (
        "(UTC, ISO 8601)\nand `level`. [Log dials](../howto/logging.md) and [Watch a node](../howto/watch-a-node.md) "
    )
    text += "say where it goes.\n\n"
    text += "| event | level | means | keys | written by |\n|---|---|---|---|---|\n"
    text += "".join(
        f"| `{a}` | {b} | {event_meaning(a)} | {', '.join(f'`{key}`' for key in c)} | `{d}` |\n"
        for a, b, c, d in sorted(rows)
    )
    text += f"\n## The keys\n\n{key_table({key for _, _, keys, _ in rows for key in keys})}"
    return f"{text}\n## The dial\n\n{markdown(logging.__doc__)}"


def _levels(node: ast.expr) -> str:
    values = [node.body, node.orelse] if isinstance(node, ast.IfExp) else [node]
    return ", ".join(text for value in values for text in _strings(value))


def command_line_page() -> str:
    """What ``--help`` says, of the command and of each of its commands."""
    whole = _help()
    text = (
        "# Command line\n\n`ziggurat`, also `python -m ziggurat.node`. Results go to stdout, log lines to stderr.\n\n"
    )
    text += f"```text\n{whole}```\n"
    for command in re.findall(r"^    ([a-z]+)\s", whole.partition("commands:")[2], re.MULTILINE):
        text += f"\n## `ziggurat {command}`\n\n```text\n{_help(command)}```\n"
    return text


def _help(*command: str) -> str:
    cli = importlib.import_module("ziggurat.node.cli.command")
    before = {name: os.environ.get(name) for name in ("COLUMNS", "NO_COLOR")}
    os.environ.update(COLUMNS="100", NO_COLOR="1")
    try:
        with contextlib.redirect_stdout(io.StringIO()) as out, contextlib.suppress(SystemExit):
            cli.main([*command, "--help"])
    finally:
        for name, value in before.items():
            os.environ.pop(name) if value is None else os.environ.update({name: value})
    return out.getvalue()


def pages() -> dict[str, str]:
    """The text of each page by its name."""
    errors = tuple(importlib.import_module("ziggurat.services.errors").__all__)
    texts = {
        "services.md": module_page("Services", "ziggurat.services", without=errors),
        "layers.md": module_page("Layers", "ziggurat.layers"),
        "testing.md": module_page("Testing", "ziggurat.layers.testing"),
        "node.md": f"{module_page('The node', 'ziggurat.node', without=('KaspadMessage',))}\n{KASPAD_MESSAGE}",
        "node-testing.md": module_page("Testing the node", "ziggurat.node.testing"),
        "settings.md": settings_page(),
        "errors.md": errors_page(),
        "phases.md": phases_page(),
        "events.md": events_page(),
        "command-line.md": command_line_page(),
    }
    return {name: re.sub(r"\n{3,}", "\n\n", f"{text.rstrip()}\n{NOTICE}") for name, text in texts.items()}


def main(folder: Path) -> None:
    """Write the pages into ``folder``."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in pages().items():
        (folder / name).write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else ROOT / "docs" / "reference")
