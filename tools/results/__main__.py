"""Write the figures in README and docs from the reference results.

    python -m tools.results            write them
    python -m tools.results --check    exit with 1 if a page has other figures, and say which

A page has blocks between ``<!-- results: NAME -->`` and ``<!-- results end -->``; the template of a block is
tools/results/templates/NAME.md.j2. What is outside of blocks is left alone.
"""

import argparse
import json
import re
import sys
from functools import cache
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from tdbench.records.reference_results import RECORD, REFERENCES
from tdbench.reporting.cells import spread
from tools.results import figures
from tools.results.kept import Kept, as_table, with_minus

ROOT = Path(__file__).parents[2]
PAGES = ("README.md", "docs/results.md", "docs/fid.md")
BLOCK = re.compile(r"(<!-- results: ([\w-]+) -->\n).*?(<!-- results end -->)", re.DOTALL)


class Reference:
    """The reference results, read when a template asks for them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.get = cache(lambda name: Kept(folder / name))

    def facts(self, name: str) -> Any:
        """The content of a JSON file that a benchmark wrote."""
        return json.loads((self.folder / name).read_text(encoding="utf-8"))

    def has(self, name: str) -> bool:
        return (self.folder / name / RECORD).is_file()


def _spread(mean: float, std: float) -> str:
    return with_minus(str(spread(mean, std)))


def rendered(text: str, reference: Reference) -> str:
    """A page with its blocks filled in."""
    folder = FileSystemLoader(Path(__file__).parent / "templates")
    # Markdown, not HTML: nothing is escaped.
    environment = Environment(loader=folder, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    environment.globals |= {"facts": reference.facts, "has": reference.has, "kept": reference.get}
    environment.globals |= {"as_table": as_table, "spread": _spread, "with_minus": with_minus}

    def fill(block: re.Match[str]) -> str:
        return block[1] + environment.get_template(f"{block[2]}.md.j2").render().strip() + "\n" + block[3]

    return BLOCK.sub(fill, text)


def stale(root: Path = ROOT) -> dict[Path, str]:
    """Page -> its new text, for pages whose figures are not those of the reference results."""
    reference = Reference(root / REFERENCES)
    found = {}
    for name in PAGES:
        before = (root / name).read_text(encoding="utf-8")
        after = rendered(before, reference)
        if before != after:
            found[root / name] = after
    return found


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tools.results", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--check", action="store_true", help="write nothing; exit with 1 if a page is out of date")
    given = parser.parse_args()
    pages = stale()
    pictures = figures.stale(ROOT)
    for path, text in pages.items():
        print(f"{path.relative_to(ROOT)}: its figures are not those of {REFERENCES}" if given.check else path)
        if not given.check:
            path.write_text(text, encoding="utf-8")
    for path, draw in pictures.items():
        print(f"{path.relative_to(ROOT)}: is drawn from other figures" if given.check else path)
        if not given.check:
            draw()
    return 1 if given.check and (pages or pictures) else 0


if __name__ == "__main__":
    sys.exit(main())
