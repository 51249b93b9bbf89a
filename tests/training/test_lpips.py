"""LPIPS as a distance: the library's own network, from a file that is read as weights only, fetched or given."""

import hashlib
import json
import os
import pickle
import shutil
import signal
import sys
from collections.abc import Callable
from http.server import ThreadingHTTPServer
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import lpips
import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor
from torch.nn.functional import interpolate
from torchvision.models import VGG16_Weights
from torchvision.models.vgg import cfgs, make_layers

from tdbench.cli.main import main
from tdbench.data.archive import ImageSet
from tdbench.diffusion import distances
from tdbench.diffusion.distances import DISTANCES
from tdbench.errors import TdbenchError
from tdbench.experiment.load import load_plan
from tdbench.records.layout import DatasetLayout, RunLayout, weights_record
from tdbench.runtime.downloads import CACHE_VARIABLE
from tdbench.runtime.files import read_json, sha256, write_json
from tdbench.training import loop, lpips_network
from tdbench.training.lpips_network import load_lpips
from tdbench.training.lpips_weights import LIBRARY, PUBLISHED, published_weights
from tdbench.workflow.stages import is_trained
from tests.conftest import TINY
from tests.robustness.test_weights import Evil

State = dict[str, Tensor]


@pytest.fixture(autouse=True)
def nothing_loaded(monkeypatch: pytest.MonkeyPatch) -> None:
    """As at the start of a process."""
    monkeypatch.setattr(distances, "_networks", {})
    lpips_network._network.cache_clear()


@pytest.fixture(scope="module")
def state() -> State:
    """Random features of VGG16 under torchvision's names, with a key of its classifier."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        layers = make_layers(cfgs["D"])
    features = {f"features.{name}": tensor for name, tensor in layers.state_dict().items()}
    return features | {"classifier.0.bias": torch.zeros(4096)}


@pytest.fixture(scope="module")
def vgg(state: State, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("vgg") / "mine.pth"
    torch.save(state, path)
    return path


def pair() -> list[Tensor]:
    source = torch.Generator().manual_seed(1)
    return [torch.rand(1, 1, 8, 8, generator=source) * 2 - 1 for _ in range(2)]


@pytest.mark.slow
def test_it_is_the_librarys_own(state: State, vgg: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also in its gradient; neither the parameters nor the global generator take part."""
    layers = make_layers(cfgs["D"])
    layers.load_state_dict({k.removeprefix("features."): v for k, v in state.items() if k.startswith("features.")})
    with monkeypatch.context() as patch:
        patch.setattr(lpips.pretrained_networks.tv, "vgg16", lambda pretrained: SimpleNamespace(features=layers))
        theirs = lpips.LPIPS(net="vgg", verbose=False)
    x, y = pair()
    before = torch.random.get_rng_state()
    assert load_lpips(vgg) == sha256(vgg)
    assert torch.equal(torch.random.get_rng_state(), before)
    found, expected = [], []
    for distance, into in (
        (DISTANCES["lpips"], found),
        (
            lambda a, b: theirs(
                *(interpolate(v.expand(-1, 3, -1, -1), 224, mode="bilinear", antialias=True) for v in (a, b))
            ).flatten(),
            expected,
        ),
    ):
        a = x.clone().requires_grad_()
        value = distance(a, y)
        value.sum().backward()
        into += [value.detach(), a.grad]
    assert found[0].shape == (1,) and found[0] > 1e-4 and found[1].abs().max() > 0
    # Equal to the bit here; another processor's kernels may depend on where the weights lie in memory.
    for ours, libraries in zip(found, expected, strict=True):
        torch.testing.assert_close(ours, libraries, rtol=1e-5, atol=1e-8)
    network = distances._networks[torch.device("cpu")]
    assert not network.training and not any(p.requires_grad for p in network.parameters())


def test_a_network_is_loaded_once_a_process(
    state: State, vgg: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    load_lpips(vgg)
    first = distances._networks[torch.device("cpu")]
    load_lpips(vgg)
    assert distances._networks[torch.device("cpu")] is first
    warned = [line for line in capsys.readouterr().err.splitlines() if "the distance is not LPIPS" in line]
    assert len(warned) == 1 and warned[0].startswith(f"{vgg}: ") and sha256(vgg) in warned[0]
    # The other format, other numbers.
    path = tmp_path / "mine.safetensors"
    save_file({name: tensor.double() for name, tensor in state.items()}, path)
    assert load_lpips(path) == sha256(path) != sha256(vgg)
    second = distances._networks[torch.device("cpu")]
    assert second is not first
    assert all(torch.equal(a, b) for a, b in zip(first.parameters(), second.parameters(), strict=True))


def test_a_call_without_its_network_says_how_to_load_it() -> None:
    with pytest.raises(TdbenchError, match=r"call tdbench\.training\.lpips_network\.load_lpips\(\) first") as caught:
        DISTANCES["lpips"](*pair())
    assert "`tdbench weights lpips`" in str(caught.value)


def test_without_its_package_it_says_what_to_install(vgg: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "lpips", None)
    with pytest.raises(
        TdbenchError, match=r"distance lpips: needs the package lpips; pip install \"tdbench\[lpips\]\""
    ):
        load_lpips(vgg)


def changed(state: State, **changes: Any) -> State:
    found = state | {name.replace("__", "."): value for name, value in changes.items()}
    return {name: value for name, value in found.items() if value is not None}


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        (
            {"features__5__bias": None},
            "features.5.bias: is missing; expected VGG16's weights under torchvision's names",
        ),
        ({"features__5__bias": torch.zeros(64)}, r"features.5.bias: is float32 of shape \(64,\), VGG16's is float"),
        ({"features__5__bias": torch.zeros(128, dtype=torch.int32)}, r"is int32 of shape \(128,\), VGG16's is float"),
        ({"features__5__bias": "text"}, "features.5.bias: is missing"),
        ({"features__30__weight": torch.zeros(1)}, "features.30.weight: not of VGG16"),
    ],
)
def test_other_weights_are_refused(changes: dict[str, Any], words: str, state: State, tmp_path: Path) -> None:
    path = tmp_path / "mine.pth"
    torch.save(changed(state, **changes), path)
    with pytest.raises(TdbenchError, match=words) as caught:
        load_lpips(path)
    assert str(caught.value).startswith(f"{path}: ")


def test_damaged_files_and_programs_are_refused_and_not_run(vgg: Path, tmp_path: Path) -> None:
    path, victim = tmp_path / "mine.pth", tmp_path / "victim"
    with pytest.raises(TdbenchError, match=r"mine\.pth: no such file; training\.distance_weights names it"):
        load_lpips(path)
    path.write_bytes(vgg.read_bytes()[:100_000])
    with pytest.raises(TdbenchError, match="no readable weights"):
        load_lpips(path)
    torch.save(torch.zeros(2), path)
    with pytest.raises(TdbenchError, match="holds no weights by name"):
        load_lpips(path)
    for content in (pickle.dumps(Evil(victim), protocol=2), None):
        if content is None:
            torch.save({"features.0.weight": Evil(victim)}, path)
        else:
            path.write_bytes(content)
        with pytest.raises(TdbenchError, match="no readable weights"):
            load_lpips(path)
    assert not victim.exists()


def call(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int:
    monkeypatch.setattr("sys.argv", ["tdbench", *arguments])
    with pytest.raises(SystemExit) as exit_:
        main()
    return int(exit_.value.code or 0)


def test_the_address_is_torchvisions_own() -> None:
    file = PUBLISHED[LIBRARY]
    assert VGG16_Weights.IMAGENET1K_V1.url == file.url
    assert file.name.removesuffix(".pth").rsplit("-", 1)[-1] == file.sha256[:8]


def test_the_published_file_is_fetched_once_and_recorded(
    vgg: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    serve: Callable[[Path], ThreadingHTTPServer],
) -> None:
    """From a site in place of PyTorch's; as that file it is LPIPS, without a warning."""
    cache, results = tmp_path / "cache", tmp_path / "results"
    monkeypatch.setenv(CACHE_VARIABLE, str(cache))
    (tmp_path / "site").mkdir()
    real, name = PUBLISHED[LIBRARY], PUBLISHED[LIBRARY].name
    (tmp_path / "site" / name).write_bytes(vgg.read_bytes())
    url = f"http://127.0.0.1:{serve(tmp_path / 'site').server_port}/{name}"
    monkeypatch.setitem(PUBLISHED, LIBRARY, real._replace(url=url, sha256=sha256(vgg)))
    assert call(monkeypatch, "weights", "lpips", "--library", "clean-fid", "--results", str(results)) == 2
    assert "'clean-fid': publishes no weights of lpips; known: torchvision" in capsys.readouterr().err
    assert not results.exists()
    assert call(monkeypatch, "weights", "lpips", "--results", str(results)) == 0
    assert capsys.readouterr().out.split() == [str(cache / "weights" / name)]
    record = read_json(weights_record(results, "lpips", LIBRARY), "tdbench weights")
    assert record == {"library": LIBRARY, "file": name, "url": url, "sha256": sha256(vgg)}
    (tmp_path / "site" / name).unlink()
    assert load_lpips() == sha256(vgg)
    assert "does not compare" not in capsys.readouterr().err


def test_without_a_network_a_line_says_which_file_to_put_where(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv(CACHE_VARIABLE, str(tmp_path))
    file = PUBLISHED[LIBRARY]
    path = tmp_path / "weights" / file.name
    with monkeypatch.context() as patch:
        patch.setitem(PUBLISHED, LIBRARY, file._replace(url=f"http://127.0.0.1:9/{file.name}"))
        assert call(patch, "weights", "lpips", "--results", str(tmp_path / "results")) == 2
    (line,) = capsys.readouterr().err.splitlines()
    for words in ("cannot be downloaded", "553.4 MB", file.sha256, f"put it at {path}", "in training.distance_weights"):
        assert words in line
    # Another file in its place is not read.
    path.write_bytes(b"half a file")
    with pytest.raises(TdbenchError, match=r"not the published .*delete it to download it again"):
        published_weights()
    with pytest.raises(TdbenchError, match=hashlib.sha256(b"half a file").hexdigest()):
        load_lpips()
    assert path.read_bytes() == b"half a file"


def with_digits(results: Path, archive: Path, images: ImageSet) -> Path:
    files = DatasetLayout(results, "digits")
    files.folder.mkdir(parents=True)
    shutil.copy(archive, files.archive)
    write_json(files.summary, images.summary())
    return results


def experiment(folder: Path, weights: Path) -> Path:
    """Two steps of consistency training on a digit each, by LPIPS."""
    path, seen = folder / "mine.yaml", os.path.relpath(weights, folder)
    changes = {
        "edm: {}": "ct: {distance: lpips}",
        ", target: {decay: 0.9}": "",
        "duration_kimg: 2.56": "duration_kimg: 0.002",
        "batch_size: 64\n  learning": f"distance_weights: {seen}\n  batch_size: 1\n  learning",
        "snapshot_kimg: 0.32": "snapshot_kimg: 0.001",
    }
    text = TINY.read_text()
    for old, new in changes.items():
        assert old in text
        text = text.replace(old, new)
    path.write_text(text)
    return path


@pytest.mark.slow
def test_a_training_by_lpips_knows_its_weights(
    state: State,
    vgg: Path,
    tmp_path: Path,
    archive: Path,
    images: ImageSet,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """It goes on after a stop, to the same bytes, with the same weights alone; their checksum is in run.json."""
    mine, other, real = tmp_path / "mine.pth", tmp_path / "other.pth", loop.one_step
    mine.write_bytes(vgg.read_bytes())
    torch.save(changed(state, features__0__bias=state["features.0.bias"] + 1), other)
    path = experiment(tmp_path, mine)
    run = load_plan(str(path)).run("ct-baseline-seed0")
    assert (
        run.training.distance_weights == mine and run.training_settings()["training"]["distance_weights"] == "mine.pth"
    )

    def train(results: Path, stop: bool = False) -> tuple[int, str]:
        def signalled(*arguments: Any) -> Any:
            if stop:
                os.kill(os.getpid(), signal.SIGTERM)
            return real(*arguments)

        with monkeypatch.context() as patch:
            patch.setattr(loop, "one_step", signalled)
            code = call(patch, "train", str(path), run.name, "--results", str(results), "--keep-finished")
        return code, capsys.readouterr().err

    results = with_digits(tmp_path / "results", archive, images)
    layout, files = RunLayout(results, run), DatasetLayout(results, "digits")
    assert train(results, stop=True)[0] == 143 and len(list(layout.checkpoints.iterdir())) == 1
    code, said = train(results)
    assert code == 0 and "resumes after step 1" in said
    assert read_json(layout.settings, "")["distance_weights"] == {"file": "mine.pth", "sha256": sha256(vgg)}

    fresh = with_digits(tmp_path / "fresh", archive, images)
    train(fresh, stop=True)
    other.replace(mine)
    code, said = train(fresh, stop=True)
    assert code == 143 and "checkpoint not used: it is of other distance_weights" in said
    mine.write_bytes(vgg.read_bytes())
    code, said = train(fresh)
    assert "it is of other distance_weights" in said
    sums = [
        [s["sha256"] for s in json.loads(RunLayout(r, run).snapshots.read_text())["snapshots"]]
        for r in (results, fresh)
    ]
    assert len(sums[0]) == 2 and sums[0] == sums[1]

    assert "already finished, kept" in train(results)[1]
    mine.write_bytes(b"others")
    assert not is_trained(run, layout, files)
    mine.unlink()
    assert is_trained(run, layout, files)


def test_weights_matter_to_those_alone_whose_distance_needs_them(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    text = TINY.read_text().replace("edm: {}", "edm: {}\n  ct: {distance: l2}").replace(", target: {decay: 0.9}", "")
    given = text.replace("training:\n", "training:\n  distance_weights: mine.pth\n")
    path.write_text(given)
    with pytest.raises(
        TdbenchError, match=r"training\.distance_weights: .*mine\.pth: no formulation here has distance: lpips"
    ):
        load_plan(str(path))
    path.write_text(text)
    plain = load_plan(str(path)).runs
    # The distance of a cell, or of a row of an ablation.
    override = "overrides:\n  - {formulations: [ct], set: {formulation.distance: lpips}}\n"
    path.write_text(given.replace("ablations:\n", override + "ablations:\n"))
    for name, run in load_plan(str(path)).runs.items():
        assert ("distance_weights" in run.training_settings()["training"]) == (run.formulation_name == "ct")
        assert (run.training_settings() == plain[name].training_settings()) == (run.formulation_name == "edm")
