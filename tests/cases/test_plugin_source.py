"""A source of one's own that gives something slightly wrong: one line with the plug-in, what it gave, what is right."""

from pathlib import Path

import pytest

from tests.cases.calls import copied, refused, tdbench

CASES = {
    "pd_nhwc.py": "images: uint8 (4, 8, 8, 3); expected uint8 (N, C, H, W) with C 1 or 3",
    "pd_float.py": "images: float32 (4, 3, 8, 8); expected uint8 (N, C, H, W) with C 1 or 3",
    "pd_lab3.py": "labels: int64 (3,) for 4 images; expected int64 (4,), or None",
    "pd_labfloat.py": "labels: float64 (4,) for 4 images; expected int64 (4,), or None",
}
GOOD = "RawImages(np.zeros((4, 3, 8, 8), np.uint8), np.arange(4))"
MEMBERS = {
    "None": "gave NoneType; expected tdbench.data.raw.RawImages(images, labels)",
    "RawImages(np.zeros((4, 3, 8, 8), np.uint8), np.eye(4))": "labels: float64 (4, 4) for 4 images",
    "RawImages(np.zeros((4, 3, 8, 8), np.uint8), np.eye(4, dtype=int))": "labels: int64 (4, 4) for 4 images",
    "RawImages(np.zeros((4, 3, 8, 8), np.uint8), [0, 1, 2, 3])": "labels: list for 4 images",
    "RawImages(np.zeros((4, 3, 8, 8), np.uint8), np.array([0, 2, 3, 3]))": "labels: no image of class 1",
    "RawImages(np.zeros((4, 3, 8, 8), np.uint8), np.array([0, -1, 1, 1]))": "labels: class -1",
    "RawImages(np.zeros((4, 3, 8, 8), np.uint8), np.zeros(4, bool))": "labels: bool (4,) for 4 images",
    "RawImages(np.zeros((4, 3, 8, 6), np.uint8), None)": "images of 6x8 pixels; expected square ones",
    "RawImages(np.zeros((4, 2, 8, 8), np.uint8), None)": "images: uint8 (4, 2, 8, 8); expected",
    "RawImages(np.zeros((0, 3, 8, 8), np.uint8), None)": "images: none",
    "RawImages(np.zeros((4, 3, 8, 8), np.uint8), np.arange(4), ['a'])": "class_names: ['a']; expected a list of 4",
    "{}['a key']": "KeyError: 'a key'",
}


def call(plugin: str, cwd: Path) -> str:
    return refused("data", "mine", "--plugin", plugin, "-o", "o.zip", cwd=cwd)


@pytest.mark.parametrize("plugin", CASES)
def test_the_cases(plugin: str, tmp_path: Path) -> None:
    case = copied("plugin-source", tmp_path)
    assert call(plugin, case) == f"data source mine of {plugin}: {CASES[plugin]}"
    assert not (case / "o.zip").exists()


def written(folder: Path, expression: str) -> Path:
    (folder / "own.py").write_text(
        "import numpy as np\n\nfrom tdbench.data.raw import RawImages\nfrom tdbench.data.sources import Source\n"
        "from tdbench.plugins import register\n\n\ndef mine(path, resolution):\n"
        f"    return {expression}\n\n\nregister('source', 'mine')(Source(mine, 'none', '', 'none', None))\n"
    )
    return folder


@pytest.mark.parametrize("expression", MEMBERS)
def test_further_members(expression: str, tmp_path: Path) -> None:
    assert call("own.py", written(tmp_path, expression)).startswith(
        f"data source mine of own.py: {MEMBERS[expression]}"
    )


@pytest.mark.parametrize("expression", [GOOD, GOOD.replace("np.arange(4)", "np.arange(4, dtype=np.uint8)")])
def test_good_ones(expression: str, tmp_path: Path) -> None:
    called = tdbench("data", "mine", "--plugin", "own.py", "-o", "o.zip", cwd=written(tmp_path, expression))
    assert called.code == 0 and "classes 4" in called.out
