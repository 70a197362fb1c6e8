"""The examples of README.md and docs/ run as printed, and their output matches the page.

How a page marks its blocks:

- A ``python`` block runs in a fresh process, or, below ``<!-- continues -->``, in the process of the block before it. A
  ``main`` that the block does not run itself is run by the test.
- A ``text`` block below ``<!-- printed -->`` is the stdout of the block before it, one below ``<!-- logged -->`` its
  stderr; times, ids and free ports may differ. A block without a ``logged`` block must not write to stderr.
- A ``sh`` block either installs something, and is skipped, or runs ``ziggurat`` on each line.
- Blocks in any other language are not examples; `test_every_block_is_an_example_or_a_picture` lists what is allowed.
"""

from __future__ import annotations

import importlib.util
import json
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from anyio.from_thread import start_blocking_portal

from tests.stand_ins import CHILD, GIVEN, NAMES, stand_ins

ROOT = Path(__file__).parent.parent
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
PROSE = [*PAGES, *(path for name in ("CHANGELOG.md", "CONTRIBUTING.md") if (path := ROOT / name).exists())]

MARKS = ("continues", "printed", "logged")
PICTURES = ("text", "mermaid", "toml", "json")
SEPARATOR = "\x1e"
LIMIT = 60.0
"""Seconds for one example; none takes more than two."""


@dataclass
class Block:
    """A fenced block. `mark` is from the comment on the line above, `line` the number of the first line of its text."""

    page: Path
    line: int
    language: str
    mark: str
    text: str

    @property
    def place(self) -> str:
        return f"{self.page.relative_to(ROOT)}:{self.line}"


@dataclass
class Example:
    """Blocks that share a process, and the output that the page shows for each."""

    blocks: list[Block]
    printed: list[str | None] = field(default_factory=list)
    logged: list[str | None] = field(default_factory=list)

    @property
    def place(self) -> str:
        return self.blocks[0].place


def blocks(page: Path) -> Iterator[Block]:
    """Every fenced block of a page."""
    lines = page.read_text(encoding="utf-8").splitlines()
    opened: tuple[int, str, str] | None = None
    for number, line in enumerate(lines):
        fence = re.fullmatch(r" *```(\S*) *", line)
        if fence is None:
            assert "```" not in line, f"{page}:{number + 1}: this test cannot parse the fence"
        elif opened is None:
            above = lines[number - 1] if number else ""
            mark = re.fullmatch(r"<!-- (\w+) -->", above)
            assert mark is not None or "<!--" not in above, f"{page}:{number}: unknown mark {above!r}"
            assert mark is None or mark[1] in MARKS, f"{page}:{number}: unknown mark {above!r}"
            opened = number, fence[1], mark[1] if mark else ""
        else:
            start, language, mark_name = opened
            text = "\n".join(lines[start + 1 : number]) + "\n"
            yield Block(page, start + 2, language, mark_name, text)
            opened = None
    assert opened is None, f"{page}: a block is not closed"


def examples(language: str) -> list[Example]:
    """The examples in a language, in the order of their pages."""
    found: list[Example] = []
    for page in PAGES:
        current: Example | None = None
        for block in blocks(page):
            if block.language in ("python", "sh"):
                goes_on = block.mark == "continues"
                assert current is not None or not goes_on, f"{block.place} continues nothing"
                if current is None or not goes_on:
                    current = Example([])
                    if block.language == language:
                        found.append(current)
                current.blocks.append(block)
                current.printed.append(None)
                current.logged.append(None)
            elif block.mark in ("printed", "logged"):
                assert current is not None, f"{block.place}: there is no example above"
                (current.printed if block.mark == "printed" else current.logged)[-1] = block.text
    return found


def installs(example: Example) -> bool:
    return any("pip install" in block.text for block in example.blocks)


def alike(text: str) -> str:
    """The text without what differs between runs: times, bars, ids, free ports."""
    text = re.sub(r"\d{4}-\d\d-\d\dT[\d:.]+Z", "<time>", text)
    text = re.sub(r"127\.0\.0\.1:(?!9050\b)\d+", "127.0.0.1:<port>", text)
    text = re.sub(r"await number \d+", "await number <n>", text)
    text = re.sub(r"\((wrong version number|record layer failure)\)", "(<OpenSSL's words>)", text)
    text = re.sub(r" \((?:[\w.]+ \d+\.\d\d(?:, | s\)))+", "", text)  # only phases that took 5 ms or more
    text = re.sub(r"\b\d+\.\d+( ?m?s\b)", r"<n>\1", text)
    text = re.sub(r"(elapsed\"?[=:] ?)\d+\.\d+", r"\1<n>", text)
    text = re.sub(r"(dial\"?[=:] ?\"?)[0-9a-f]{8}\b", r"\1<id>", text)
    return "\n".join(line.rstrip() for line in re.sub(" *█+", "", text).strip().splitlines())


def environment(trust: Path) -> dict[str, str]:
    paths = [str(ROOT / ".dev"), *filter(None, [os.environ.get("PYTHONPATH")])]
    return {
        **os.environ,
        "PYTHONPATH": os.pathsep.join(paths),
        "PYTHONWARNINGS": "error",
        "SSL_CERT_FILE": str(trust),
        "NO_COLOR": "1",
    }


def run_python(example: Example, ports: dict[str, int], trust: Path) -> subprocess.CompletedProcess[str]:
    page = example.blocks[0].page
    world = {
        "names": NAMES,
        "ports": ports,
        "separator": SEPARATOR,
        "page": str(page.relative_to(ROOT)),
        "given": GIVEN if page.name == "README.md" else "",
        "blocks": [{"line": block.line, "text": block.text} for block in example.blocks],
    }
    return subprocess.run(
        [sys.executable, "-c", CHILD],
        input=json.dumps(world),
        capture_output=True,
        encoding="utf-8",
        env=environment(trust),
        cwd=trust.parent,
        timeout=LIMIT,
        check=False,
    )


@pytest.fixture(scope="module")
def trust(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("docs") / "corporate-ca.pem"  # in the examples' working directory


@pytest.fixture(scope="module")
def ports(trust: Path) -> Iterator[dict[str, int]]:
    with start_blocking_portal("asyncio") as portal, portal.wrap_async_context_manager(stand_ins(trust)) as ports:
        yield ports


PYTHON = examples("python")
SHELL = [example for example in examples("sh") if not installs(example)]


@pytest.mark.slow
@pytest.mark.parametrize("example", PYTHON, ids=lambda example: example.place)
def test_a_python_example_runs_and_prints_what_its_page_shows(
    example: Example, ports: dict[str, int], trust: Path
) -> None:
    done = run_python(example, ports, trust)

    assert done.returncode == 0, done.stderr
    *printed, _ = done.stdout.split(SEPARATOR)
    *logged, rest = done.stderr.split(SEPARATOR)
    assert not rest.strip(), rest  # at exit, Python warns about what was not closed
    for block, out, err, said, told in zip(
        example.blocks, printed, logged, example.printed, example.logged, strict=True
    ):
        assert said is None or alike(out) == alike(said), block.place
        assert alike(err) == alike(told or ""), block.place


@pytest.mark.slow
@pytest.mark.parametrize("example", SHELL, ids=lambda example: example.place)
def test_a_shell_example_runs_and_prints_what_its_page_shows(example: Example, trust: Path) -> None:
    for block, said in zip(example.blocks, example.printed, strict=True):
        output = ""
        for line in block.text.splitlines():
            name, *arguments = shlex.split(line, comments=True) or [""]
            if not name:
                continue
            assert name == "ziggurat", f"{block.place}: a shell example must install something or run ziggurat"
            command = [sys.executable, "-m", "ziggurat.node", *arguments]
            done = subprocess.run(
                command,
                capture_output=True,
                encoding="utf-8",
                env=environment(trust),
                cwd=trust.parent,
                timeout=LIMIT,
                check=False,
            )
            assert done.returncode == 0, done.stderr
            output += done.stdout
        assert said is None or alike(output) == alike(said), block.place


def test_every_block_is_an_example_or_a_picture() -> None:
    known = {block.place for kind in ("python", "sh") for example in examples(kind) for block in example.blocks}
    for page in PAGES:
        for block in blocks(page):
            assert block.place in known or block.language in PICTURES, (
                f"{block.place}: unknown language {block.language!r}"
            )
            assert block.mark not in ("printed", "logged") or block.language in ("text", "json"), block.place


def test_only_installations_are_skipped() -> None:
    left = [example.place for example in examples("sh") if installs(example)]

    assert len([place for place in left if place.startswith("README.md")]) == 2
    assert all("pip install" in block.text for e in examples("sh") if installs(e) for block in e.blocks)
    assert PYTHON
    assert SHELL


@pytest.mark.slow
def test_the_reference_is_up_to_date(trust: Path, tmp_path: Path) -> None:
    script = ROOT / "docs" / "generate_reference.py"
    done = subprocess.run(
        [sys.executable, str(script), str(tmp_path)],
        capture_output=True,
        encoding="utf-8",
        env=environment(trust),
        timeout=LIMIT,
        check=False,
    )

    assert done.returncode == 0, done.stderr
    assert not done.stderr  # griffe's warnings about docstrings
    written = {path.name: path.read_text(encoding="utf-8") for path in sorted(tmp_path.iterdir())}
    kept = {path.name: path.read_text(encoding="utf-8") for path in sorted((script.parent / "reference").iterdir())}
    assert written.keys() == kept.keys()
    for name, text in written.items():
        if name == "command-line.md" and sys.version_info >= (3, 13):
            continue  # its argparse formats a flag with two names differently; the page is from 3.11 or 3.12
        assert text == kept[name], f"run docs/generate_reference.py: {name} has changed"


CHECKERS = {
    "mypy": ("--strict", "--namespace-packages", "--explicit-package-bases", "--config-file=", "--no-incremental"),
    "pyright": ("--pythonpath", sys.executable),
}


@pytest.mark.slow
@pytest.mark.parametrize("checker", CHECKERS)
def test_the_typed_pages_pass_both_checkers(checker: str, tmp_path: Path) -> None:
    if importlib.util.find_spec(checker) is None:
        pytest.skip(f"{checker} is not installed (pip install '.[check]')")
    script = ROOT / "docs" / "typed_examples.py"
    subprocess.run([sys.executable, str(script), str(tmp_path)], check=True, timeout=LIMIT)
    names = sorted(path.name for path in tmp_path.iterdir())
    config = {"typeCheckingMode": "strict", "extraPaths": [str(ROOT / ".dev")]}
    (tmp_path / "pyrightconfig.json").write_text(json.dumps(config), encoding="utf-8")

    done = subprocess.run(
        [sys.executable, "-m", checker, *CHECKERS[checker], *names],
        cwd=tmp_path,
        env={**os.environ, "MYPYPATH": str(ROOT / ".dev")},
        capture_output=True,
        encoding="utf-8",
        timeout=10 * LIMIT,
        check=False,
    )

    assert len(names) >= 8
    assert done.returncode == 0, done.stdout + done.stderr


def anchors(page: Path) -> set[str]:
    headings = re.findall(r"^#+ (.+)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PROSE, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_link_inside_the_project_has_a_target(page: Path) -> None:
    text = re.sub(r"```.*?```", "", page.read_text(encoding="utf-8"), flags=re.DOTALL)
    for link in re.findall(r"\]\(([^)\s]+)\)", text):
        if re.match(r"[a-z]+:", link):
            continue
        name, _, anchor = link.partition("#")
        target = (page.parent / name).resolve() if name else page
        assert target.exists(), f"{page.relative_to(ROOT)} links to {link}"
        assert not anchor or anchor in anchors(target), f"{page.relative_to(ROOT)} links to {link}"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_a_page_has_one_title_and_is_in_the_index(page: Path) -> None:
    text = re.sub(r"```.*?```", "", page.read_text(encoding="utf-8"), flags=re.DOTALL)

    assert text.startswith("# ")
    assert len(re.findall(r"^# ", text, re.MULTILINE)) == 1
    index = ROOT / "docs" / "index.md"
    if page.parent != ROOT and page != index:
        assert f"({page.relative_to(index.parent)})" in index.read_text(encoding="utf-8")
