"""The reference's entries as Markdown: griffe reads the signatures and docstrings, this module lays them out."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterator
from pathlib import Path

import griffe
from griffe import DocstringSectionKind as Kind

__all__ = ["describe", "exported", "find", "markdown"]

WIDTH = 100
SEARCH_PATH = Path(__file__).parent.parent / ".dev"
LOADER = griffe.GriffeLoader(search_paths=[SEARCH_PATH], docstring_parser="google", allow_inspection=False)
LOADER.load("ziggurat")


def find(path: str) -> griffe.Object:
    found = LOADER.modules_collection[path]
    return found.final_target if found.is_alias else found


def exported(package: str) -> dict[str, griffe.Object]:
    """A package's exports. Imports take precedence, since a function and a submodule may share a name."""
    module = find(package)
    return {str(name): find(module.imports.get(str(name), f"{package}.{name}")) for name in module.exports or ()}


def describe(name: str, thing: griffe.Object, level: str = "##") -> Iterator[str]:
    """The entry of one object, followed by those of its methods."""
    yield f"{level} `{name}`"
    if shown := code(thing):
        yield f"```text\n{shown}\n```"
    yield markdown(thing)
    if isinstance(thing, griffe.Class):
        bases = [str(getattr(each, "canonical_path", each)) for each in thing.bases]
        bases = [each.rpartition(".")[2] if each.startswith("ziggurat.") else each for each in bases]
        if shown := ", ".join(f"`{each}`" for each in bases if each != "typing.Generic"):
            yield f"Bases: {shown}"
        for member in thing.members.values():
            if member.is_function and member.docstring and re.match("[^_]|__call__", member.name):
                yield from describe(f"{name}.{member.name}", member, f"{level}#")


# Signatures


def code(thing: griffe.Object) -> str:
    """A signature, or the value of an alias; empty for a class that is not called, such as a protocol."""
    if isinstance(thing, griffe.Function):
        decorators = "".join(f"@{each.value}\n" for each in thing.decorators)
        return decorators + signature("async " * ("async" in thing.labels) + thing.name, thing, thing.returns)
    if isinstance(thing, griffe.Class):
        if init := thing.all_members.get("__init__"):
            return signature(thing.name, find(init.canonical_path))
        return "" if thing.bases else f"{thing.name}()"
    return f"{thing.name} = {thing.value}"


def signature(name: str, function: griffe.Function, returns: object = None) -> str:
    """A signature on one line, or with a line for each parameter if it is long."""
    for parameter in function.parameters:
        parameter.default = default(parameter.default)
    inside = function.signature(return_type=False).partition("(")[2][:-1]
    arrow = f" -> {returns}" if returns else ""
    if len(name + inside + arrow) <= WIDTH:
        return f"{name}({inside}){arrow}"
    lines = re.split(r", (?=[*/](?:,|$)|\*{0,2}\w+: )", inside)
    return f"{name}(\n" + "".join(f"    {each},\n" for each in lines) + f"){arrow}"


def default(value: str | griffe.Expr | None) -> str | None:
    """A default as in the code, but with our constants replaced by their values."""
    if not isinstance(value, griffe.Expr):
        return value
    parts: list[object] = []
    for part in value.iterate(flat=True):
        ours = isinstance(part, griffe.ExprName) and part.canonical_path.startswith("ziggurat.")
        parts.append(find(part.canonical_path).value if ours and part.name.isupper() else part)
    return "".join(map(str, parts))


# Docstrings


def markdown(thing: griffe.Object) -> str:
    """The docstring. A class's properties, and attributes with a docstring of their own, join its Attributes."""
    parts = list(thing.docstring.parsed) if thing.docstring else []
    if thing.is_class:
        attributes = [each for part in parts if part.kind is Kind.attributes for each in part.value]
        for each in thing.members.values():
            if each.is_attribute and each.is_public and each.docstring:
                text, kind = each.docstring.value, each.annotation
                attributes.append(griffe.DocstringAttribute(each.name, description=text, annotation=kind))
        parts = [part for part in parts if part.kind is not Kind.attributes]
        parts += [griffe.DocstringSectionAttributes(attributes)] if attributes else []
    return "\n\n".join(map(section, parts))


def section(part: griffe.DocstringSection) -> str:
    """One section of a docstring: text, or a list."""
    if part.kind is Kind.text:
        return prose(part.value)
    lines = [f"**{part.kind.value.capitalize()}**\n"]
    for item in part.value:
        label = "" if part.kind is Kind.returns else f"`{getattr(item, 'name', item.annotation)}`"
        if part.kind is Kind.raises:
            label = re.sub(r"[()]", "", label).replace(", ", "`, `")
        if part.kind is Kind.attributes and item.annotation:
            label += f" (`{item.annotation}`)"
        text = textwrap.indent(prose(item.description), "  ").strip()
        lines.append(f"- {label}: {text}" if label else f"- {text}")
    return "\n".join(lines)


def prose(text: str) -> str:
    """A docstring's text as Markdown. Literal blocks are indented in both; only the ``::`` is removed."""
    return re.sub(r"^::\n+|(?<=:):$", "", text.replace("``", "`"), flags=re.MULTILINE).strip()
