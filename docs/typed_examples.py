"""Write the python blocks of the typed pages as modules, for the type checkers: ``typed_examples.py DIRECTORY``.

The pages promise that their code is typed. Each becomes one module, in which every line has the number that it has on
its page.
"""

from __future__ import annotations

import sys
from pathlib import Path

PAGES = (
    "howto/forward.md",
    "howto/own-layer.md",
    "howto/prove-that-nothing-leaks.md",
    "howto/retries-and-breakers.md",
    "howto/order-of-layers.md",
    "howto/own-layer.md",
    "howto/several-endpoints.md",
    "howto/test-a-layer.md",
    "howto/write-a-crawler.md",
)


def module(page: str) -> str:
    """The python blocks of a page's text, each on its own lines, with everything else left blank."""
    lines, inside = list[str](), False
    for line in page.splitlines():
        fence = line.startswith("```")
        lines.append(line if inside and not fence else "")
        if fence:
            inside = line == "```python"
    return "\n".join(lines) + "\n"


def main(directory: Path) -> None:
    directory.mkdir(parents=True, exist_ok=True)
    for name in PAGES:
        page = Path(__file__).parent / name
        target = directory / f"{page.stem.replace('-', '_')}.py"
        target.write_text(module(page.read_text(encoding="utf-8")), encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
