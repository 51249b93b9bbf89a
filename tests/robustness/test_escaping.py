"""What people write into an experiment, and what stages say of a failure, is text in every report and nothing else."""

import json
import re
from html.parser import HTMLParser
from pathlib import Path

import pandas as pd
import pytest
from ruamel.yaml import YAML

from tdbench.errors import TdbenchError
from tdbench.experiment.load import load_plan
from tdbench.reporting.captions import ablation_caption
from tdbench.reporting.findings import Table
from tdbench.reporting.tables import write_table
from tests.conftest import TINY
from tests.reporting.conftest import FAILED, MadePage, make_page

EVIL = "<script>evil()</script> | a & b \\ $x^2$ % _ # { } ~ \"q\" 'q' <img src=x onerror=evil()> ![i](http://evil.example/i)"


class Tags(HTMLParser):
    """Elements, their attributes, and the text that a reader sees."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.scripts, self.text, self._in_script = [], [], False

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        self._in_script = tag in ("script", "style")

    def handle_endtag(self, tag: str) -> None:
        self._in_script = False

    def handle_data(self, data: str) -> None:
        (self.scripts if self._in_script else self.text).append(data)


@pytest.fixture(scope="module")
def evil_page(tmp_path_factory: pytest.TempPathFactory) -> MadePage:
    ablations = {"weight": {"base": "td", "vary": {"objective.weight": ["constant"]}, "description": EVIL}}
    return make_page(
        tmp_path_factory.mktemp("evil"),
        description=EVIL,
        ablations=ablations,
        formulations={"vp": {}, "edm": {}},
        overrides=[],
    )


def test_the_page_shows_what_was_written_and_obeys_none_of_it(evil_page: MadePage) -> None:
    page = Tags()
    page.feed(evil_page.path.read_text(encoding="utf-8"))
    text = "".join(page.text)
    assert text.count(EVIL) >= 2, "the description, and the ablation's in its caption"
    assert "the disk is <full>" in text, f"what is said of {FAILED}"
    assert not any("evil" in name or "onerror" in name for _, attributes in page.tags for name in attributes)
    assert not any("evil" in (a.get("src") or "") + (a.get("href") or "") for _, a in page.tags)
    assert not any("evil()" in script and "<script" in script for script in page.scripts)


@pytest.fixture
def files(tmp_path: Path) -> dict[str, Path]:
    paths = [tmp_path / f"table.{suffix}" for suffix in ("csv", "md", "tex")]
    table = pd.DataFrame({"case | a": [EVIL, "two\nlines \x1b[2J"], "value_1": ["< 0.001", "1 ± 2"]})
    write_table(paths, Table(table, table, f"{EVIL}\n\n\\end{{table}}"))
    return {path.suffix: path for path in paths}


def test_a_markdown_table_keeps_its_rows_and_holds_no_html(files: dict[str, Path]) -> None:
    text = files[".md"].read_text()
    caption, _, table = text.partition("\n\n")
    lines = table.strip().splitlines()
    cells = [len(re.findall(r"(?<!\\)\|", line)) for line in lines]
    assert len(lines) == 4 and set(cells) == {3}, table
    assert not re.search(r"(?<!\\)<[a-z/!?]", text) and "\x1b" not in text and "\n" not in caption
    assert not re.search(r"(?<!\\)!\[", text) and "< 0.001" in text


def test_a_latex_table_obeys_no_command_of_its_cells(files: dict[str, Path]) -> None:
    text = files[".tex"].read_text()
    assert text.count(r"\end{longtable}") == 1 and r"\end{table}" not in text
    assert r"{\textbackslash}end\{table\}" in text
    caption = next(line for line in text.splitlines() if line.startswith(r"\caption"))
    assert caption.count("{") - caption.count(r"\{") == caption.count("}") - caption.count(r"\}")
    assert "\x1b" not in text and "two lines" in text
    head, _, body = text.partition(r"\endlastfoot")
    rows = [line for line in body.splitlines() if line.endswith(r"\\")]
    # The header stands twice, for the first page and for those after it.
    assert head.count("value\\_1") == 2 and len(rows) == 2
    assert all(len(re.findall(r"(?<!\\)&", row)) == 1 for row in rows)


def test_descriptions_hold_no_control_characters(tmp_path: Path) -> None:
    path = tmp_path / "evil.yaml"
    path.write_text(TINY.read_text().replace("description: Every stage", 'description: "\\x1b[2J" #'))
    with pytest.raises(TdbenchError, match=r"description: '\\x1b\[2J': holds a control character"):
        load_plan(str(path))
    path.write_text(TINY.read_text().replace("description: Every stage", "description: |\n  Several\n\n  lines #"))
    assert "Several" in load_plan(str(path)).experiment.description


def test_captions_of_ablations_are_one_line(tmp_path: Path) -> None:
    path = tmp_path / "lines.yaml"
    path.write_text(TINY.read_text().replace("    base: td", '    base: td\n    description: "a\\n\\n\\nb"'))
    assert "a b: mean" in ablation_caption(load_plan(str(path)), "weight")


BAD_NAMES = ["../up", "a/b", "a b", "<b>", "a|b", "$(x)", "a\nb", "-rf", ".hidden", "é", "a" * 121, ""]


@pytest.mark.parametrize("name", BAD_NAMES)
def test_names_are_plain_wherever_they_stand(name: str, tmp_path: Path) -> None:
    """Names become folders, rules of Snakemake, runs of MLflow and cells of tables: none needs to be escaped."""
    path, good = tmp_path / "named.yaml", YAML(typ="safe", pure=True).load(TINY.read_text())
    bad = [good | {"name": name}, good | {"published": [name]}]
    bad += [
        good | {block: {**good[block], name: next(iter(good[block].values()))}}
        for block in ("datasets", "formulations", "objectives", "ablations")
    ]
    for content in bad:
        path.write_text(json.dumps(content))
        with pytest.raises(TdbenchError, match=r"use letters, digits, '\.', '_' and '-', at most 120"):
            load_plan(str(path))
