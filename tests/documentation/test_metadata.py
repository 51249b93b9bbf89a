"""The files that describe the project agree with each other."""

import hashlib
import re
import tomllib

from ruamel.yaml import YAML

import tdbench
from tests.conftest import ROOT

APACHE_2 = "c71d239df91726fc519c6eb72d318ec65820627232b2f796219e87dcf35d0ab4"
"""SHA-256 of the licence's text without its appendix's blanks filled in."""


def test_the_licence_is_apaches_word_for_word() -> None:
    assert hashlib.sha256((ROOT / "LICENSE").read_bytes()).hexdigest() == APACHE_2
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert project["license"] == "Apache-2.0" and project["license-files"] == ["LICENSE"]


def test_the_citation_is_of_this_version_and_names_the_paper() -> None:
    citation = YAML(typ="safe").load((ROOT / "CITATION.cff").read_text())
    # What the Citation File Format demands.
    assert {"cff-version", "message", "title", "authors"} <= set(citation) and citation["cff-version"] == "1.2.0"
    assert citation["version"] == tdbench.__version__ and citation["license"] == "Apache-2.0"
    (paper,) = citation["references"]
    assert {"type", "title", "authors"} <= set(paper)
    assert [f"{author['given-names']} {author['family-names']}" for author in paper["authors"]] == [
        "Qizhen Ying",
        "Yangchen Pan",
        "Victor Adrian Prisacariu",
        "Junfeng Wen",
    ]
    assert paper["identifiers"][0]["value"] == "arXiv:2606.15048" and paper["year"] == 2026


def test_the_changelog_has_the_sections_that_it_should() -> None:
    text = (ROOT / "CHANGELOG.md").read_text()
    kinds = {"Added", "Changed", "Deprecated", "Removed", "Fixed", "Security"}
    assert set(re.findall(r"^### (.+)$", text, re.MULTILINE)) <= kinds
    assert re.findall(r"^## (.+)$", text, re.MULTILINE)[0] == "[Unreleased]"
