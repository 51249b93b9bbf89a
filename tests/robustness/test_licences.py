"""Licences of the dependencies: known, allowed, and listed."""

import re

import pytest

from tests.conftest import ROOT
from tools import licences


@pytest.fixture(scope="module")
def packages() -> dict[str, tuple[str, str]]:
    return licences.installed()


@pytest.mark.slow
def test_every_dependency_has_a_licence_that_is_allowed(packages: dict[str, tuple[str, str]]) -> None:
    assert len(packages) > 100 and licences.objections(packages) == []


@pytest.mark.slow
def test_the_page_names_every_dependency(packages: dict[str, tuple[str, str]]) -> None:
    """Not word by word: which packages there are differs between systems."""
    text = (ROOT / "LICENCES.md").read_text(encoding="utf-8")
    missing = [name for name in packages if not re.search(rf"(?<![\w-]){re.escape(name)}(?![\w-])", text)]
    assert not missing, f"{missing}: run python -m tools.licences > LICENCES.md"
    assert "UNKNOWN" not in text


@pytest.mark.parametrize(
    ("said", "kinds"),
    [
        ("MIT", ["MIT"]),
        ("Apache-2.0 AND (MIT OR GPL-3.0-only)", ["Apache-2.0", "MIT", "GPL"]),
        ("AGPL-3.0", ["UNKNOWN"]),
        ("Apache Software License; BSD License", ["Apache-2.0", "BSD"]),
        ("CC-BY-NC-4.0", ["UNKNOWN"]),
        ("", ["UNKNOWN"]),
        ("Mozilla Public License 2.0 (MPL 2.0)", ["MPL-2.0"]),
        ("SSPL-1.0", ["UNKNOWN"]),
        ("GPL-3.0-or-later", ["GPL"]),
    ],
)
def test_licences_that_are_not_known_are_not_taken_for_others(said: str, kinds: list[str]) -> None:
    assert licences.kinds(said) == kinds
    allowed = set(kinds) <= set(licences.ALLOWED)
    assert bool(licences.objections({"some-package": ("1", said)})) != allowed
