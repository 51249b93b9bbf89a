"""Images of a size that a network cannot work on: said when the experiment is read, where the size is known."""

from pathlib import Path

import numpy as np
import pytest
import yaml

from tdbench.data.archive import write_archive
from tdbench.experiment.load import load_plan
from tdbench.workflow.flow import Workflow
from tests.cases.calls import own_plugins, refused, tdbench
from tests.conftest import TINY


def written(folder: Path, dataset: dict[str, object], network: str) -> Path:
    content = yaml.safe_load(TINY.read_text()) | {"datasets": {"d": dataset}, "network": network}
    (folder / "e.yaml").write_text(yaml.safe_dump(content, sort_keys=False))
    return folder


@pytest.mark.parametrize(
    ("network", "size", "near"),
    [("unet-base", 28, "24 and 32"), ("ddpmpp", 30, "28 and 32"), ("unet-tiny", 9, "8 and 10")],
)
def test_of_a_folder(network: str, size: int, near: str, tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    folder = {"source": "folder", "path": "in", "resolution": size}
    said = refused("validate", "e.yaml", cwd=written(tmp_path, folder, network))
    assert said.startswith(f"e.yaml: network: {network!r}: d: images of {size}x{size} do not fit its ")
    assert said.endswith(f"; the nearest sizes that do are {near}")
    for right in near.split(" and "):
        folder["resolution"] = int(right)
        assert tdbench("validate", "e.yaml", cwd=written(tmp_path, folder, network)).code == 0


def test_of_an_archive_that_is_there(tmp_path: Path) -> None:
    archive = {"source": "archive", "path": "a.zip"}
    written(tmp_path, archive, "unet-base")
    assert tdbench("validate", "e.yaml", cwd=tmp_path).code == 0
    write_archive(tmp_path / "b.zip", np.zeros((2, 1, 28, 28), np.uint8), None)
    written(tmp_path, archive | {"path": "b.zip"}, "unet-base")
    assert "images of 28x28 do not fit its 4 levels" in refused("validate", "e.yaml", cwd=tmp_path)


def test_of_a_plug_in_before_anything_is_made_of_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The size of its images is known once they are there: the command that makes the archive refuses them."""
    (tmp_path / "own.py").write_text(
        "import numpy as np\nfrom tdbench.data.raw import RawImages\nfrom tdbench.data.sources import Source\n"
        "from tdbench.plugins import register\n"
        "read = lambda path, resolution: RawImages(np.zeros((4, 1, 28, 28), np.uint8), None)\n"
        "register('source', 'own')(Source(read, 'none', '', 'none', None))\n"
    )
    written(tmp_path, {"source": "own"}, "unet-base")
    content = yaml.safe_load((tmp_path / "e.yaml").read_text()) | {"plugins": ["own.py"]}
    (tmp_path / "e.yaml").write_text(yaml.safe_dump(content, sort_keys=False))
    monkeypatch.chdir(tmp_path)
    with own_plugins():
        arguments = Workflow([load_plan("e.yaml")], Path("r")).source_arguments("d").split()
    said = refused("data", *arguments, "-o", "o.zip", cwd=tmp_path)
    assert said.startswith("data source own: network unet-base: images of 28x28 do not fit its 4 levels")
    assert not (tmp_path / "o.zip").exists()
    assert tdbench("data", "own", "--plugin", "own.py", "--network", "unet-tiny", "-o", "o.zip", cwd=tmp_path).code == 0
