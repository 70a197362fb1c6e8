"""Docstrings, signatures and entries as Markdown, for generate_reference.py."""

from __future__ import annotations

import ast
import dataclasses
import enum
import inspect
import re
from collections.abc import Callable, Iterator

__all__ = ["describe", "literal_docs", "markdown", "summary"]

SECTIONS = ("Args", "Attributes", "Raises", "Returns", "Yields")


def markdown(text: str | None) -> str:
    """A docstring as Markdown: Google's sections as lists, reStructuredText's literal blocks and tables as they are."""
    out: list[str] = []
    lines = inspect.cleandoc(text or "").splitlines()
    while lines:
        line = lines.pop(0)
        if line.rstrip(":") in SECTIONS and line.endswith(":"):
            out += ["", *_entries(line[:-1], _indented(lines))]
        elif line.endswith("::"):
            if line != "::":
                out.append(_inline(line[:-1]))
            out += ["", "```text", *_indented(lines), "```", ""]
        elif line.startswith("==="):
            end = max(number for number, each in enumerate(lines) if each.startswith("===")) + 1
            out += ["```text", *(each.replace("``", "  ") for each in (line, *lines[:end])), "```"]
            del lines[:end]
        else:
            out.append(_inline(line))
    return re.sub(r"\n{3,}", "\n\n", "\n".join(out)).strip() + "\n"


def summary(text: str | None) -> str:
    """The first sentence's line of a docstring."""
    return _inline(inspect.cleandoc(text or "").partition("\n")[0])


def _inline(line: str) -> str:
    return line.replace("``", "`")


def _indented(lines: list[str]) -> list[str]:
    block: list[str] = []
    while lines and (not lines[0] or lines[0].startswith("    ")):
        block.append(lines.pop(0))
    return inspect.cleandoc("\n" + "\n".join(block)).splitlines()


def _entries(title: str, lines: list[str]) -> Iterator[str]:
    yield f"**{title}**"
    yield ""
    for line in lines:
        if line.startswith(" "):
            yield f"  {_inline(line.strip())}"
        elif match := re.match(r"(\*{0,2}\w+(?:, \*{0,2}\w+)*): (.*)", line):
            names = ", ".join(f"`{name.strip()}`" for name in match[1].split(","))
            yield f"- {names}: {_inline(match[2])}"
        else:
            yield f"- {_inline(line)}" if line else ""
    yield ""


def literal_docs(node: ast.Module | ast.ClassDef) -> dict[str, str]:
    """The string below each assignment, by the name assigned: how aliases, constants and enum members are told of."""
    docs: dict[str, str] = {}
    for first, second in zip(node.body, node.body[1:], strict=False):
        target = first.targets[0] if isinstance(first, ast.Assign) else getattr(first, "target", None)
        if isinstance(target, ast.Name) and isinstance(second, ast.Expr) and isinstance(second.value, ast.Constant):
            docs[target.id] = str(second.value.value)
    return docs


# Objects


def signature(name: str, thing: Callable[..., object]) -> str:
    """A signature as it is written in the code, on one line where it fits."""
    factories = {}
    if dataclasses.is_dataclass(thing):
        factories = {f.name: f.default_factory for f in dataclasses.fields(thing)}
    parameters: list[str] = []
    kinds: set[object] = set()
    try:
        found = inspect.signature(thing)
    except ValueError:  # an exception without an __init__ of its own takes what every exception takes
        return f"{name}(*args)"
    for each in found.parameters.values():
        if each.name in ("self", "cls"):
            continue
        if each.kind is each.KEYWORD_ONLY and not kinds & {each.KEYWORD_ONLY, each.VAR_POSITIONAL}:
            parameters.append("*")
        elif each.kind is not each.POSITIONAL_ONLY and each.POSITIONAL_ONLY in kinds and "/" not in parameters:
            parameters.append("/")
        kinds.add(each.kind)
        stars = {each.VAR_POSITIONAL: "*", each.VAR_KEYWORD: "**"}.get(each.kind, "")
        text = stars + each.name
        if each.annotation is not each.empty:
            text += f": {_annotation(each.annotation)}"
        if each.default is not each.empty:
            text += f" = {_default(each.default, factories.get(each.name))}"
        parameters.append(text)
    returns = "" if inspect.isclass(thing) or found.return_annotation is found.empty else found.return_annotation
    arrow = f" -> {_annotation(returns)}" if returns else ""
    line = f"{name}({', '.join(parameters)}){arrow}"
    if len(line) <= 100:
        return line
    return f"{name}(\n" + "".join(f"    {each},\n" for each in parameters) + f"){arrow}"


def _annotation(annotation: object) -> str:
    if isinstance(annotation, type):
        return annotation.__name__
    return str(annotation).strip("'")


def _default(value: object, factory: object) -> str:
    if repr(value) == "<factory>" and isinstance(factory, type):
        return f"{factory.__name__}()"
    return getattr(value, "__qualname__", None) or repr(value)


def describe(name: str, thing: object, docs: dict[str, str]) -> Iterator[str]:
    """One entry of a page."""
    yield f"## `{name}`\n"
    if not inspect.isclass(thing) and not inspect.isroutine(thing):
        yield markdown(docs.get(name))
    elif inspect.isclass(thing) and issubclass(thing, enum.Enum):
        yield markdown(thing.__doc__)
        members = literal_docs(_class_node(thing))
        yield "\n".join(f"- `{member.name}`: {_flat(members.get(member.name))}" for member in thing) + "\n"
    else:
        prefix = "async " if inspect.iscoroutinefunction(thing) else ""
        if not getattr(thing, "_is_protocol", False):
            yield f"```text\n{prefix}{signature(name, thing)}\n```\n"
        yield markdown(thing.__doc__)
        if inspect.isclass(thing):
            bases = [base for base in thing.__bases__ if base.__name__ not in ("object", "Protocol", "Generic")]
            if bases:
                yield f"Bases: {', '.join(map(_base, bases))}\n"
            yield from _members(thing)


def _base(base: type) -> str:
    ours = base.__module__.startswith("ziggurat.")
    return f"`{base.__name__}`" if ours else f"`{base.__module__}.{base.__name__}`"


def _members(thing: type) -> Iterator[str]:
    docs = literal_docs(_class_node(thing))
    for name, member in vars(thing).items():
        inner = member.__func__ if isinstance(member, (classmethod, staticmethod)) else member
        if name == "__call__" and inner.__doc__:
            yield f"### `await {_spelled(signature(_instance(thing), inner))}`\n\n{markdown(inner.__doc__)}"
        elif name.startswith("_"):
            continue
        elif isinstance(member, property) and member.__doc__:
            yield f"### `{thing.__name__}.{name}`\n\n{markdown(member.__doc__)}"
        elif inspect.isroutine(inner) and inner.__doc__:
            word = "await " if inspect.iscoroutinefunction(inner) else ""
            shown = _spelled(signature(f"{thing.__name__}.{name}", inner))
            yield f"### `{word}{shown}`\n\n{markdown(inner.__doc__)}"
        elif name in docs:
            yield f"### `{thing.__name__}.{name}`\n\n{markdown(docs[name])}"


def _spelled(text: str) -> str:
    return re.sub(r",?\n\)", ")", re.sub(r"\(\n +", "(", text)).replace(",\n    ", ", ")


def _instance(thing: type) -> str:
    name = thing.__name__
    return "connector" if name.endswith("Connector") else name.lower()


def _class_node(thing: type) -> ast.ClassDef:
    node = ast.parse(inspect.cleandoc("\n" + inspect.getsource(thing))).body[0]
    assert isinstance(node, ast.ClassDef)
    return node


def _flat(text: str | None) -> str:
    return _inline(" ".join((text or "").split()))
