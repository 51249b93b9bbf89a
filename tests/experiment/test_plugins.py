"""The documented examples of plug-ins at work, from the experiment file to samples, and mistakes in plug-ins."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from tdbench.cli.main import main
from tdbench.data.archive import read_archive
from tdbench.diffusion.preconditioning import UNCONDITIONAL, Condition
from tdbench.errors import TdbenchError
from tdbench.evaluation.features import describe_references, load_reference
from tdbench.evaluation.scores import evaluate_run
from tdbench.experiment.load import load_plan
from tdbench.experiment.run import Plan
from tdbench.records.layout import DatasetLayout, RunLayout
from tdbench.sampling.stage import sample_run
from tdbench.training.loop import train
from tdbench.workflow.flow import Workflow
from tests.conftest import ROOT

EXAMPLES = ROOT / "docs" / "examples"


@pytest.fixture(scope="module")
def plan() -> Plan:
    return load_plan(str(EXAMPLES / "plugin.yaml"))


def test_every_example_is_short() -> None:
    files = sorted(EXAMPLES.glob("own_*.py"))
    kinds = ["data", "extractor", "formulation", "metric", "objective", "sampler"]
    assert [f.stem for f in files] == [f"own_{kind}" for kind in kinds]
    assert all(len(f.read_text().splitlines()) < 50 for f in files)


def test_the_examples_from_data_to_scores(plan: Plan, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    files = DatasetLayout(tmp_path, "checks")
    arguments = Workflow([plan], tmp_path).source_arguments("checks").split()
    monkeypatch.setattr("sys.argv", ["tdbench", "data", *arguments, "--output", str(files.archive)])
    with pytest.raises(SystemExit, match="0"):
        main()
    data = read_archive(files.archive)
    assert data.images.shape == (400, 1, 8, 8) and data.num_classes == 2
    workflow = Workflow([plan], tmp_path)
    options = ["--features", "cells", *workflow.extractor_plugin("cells").split(), "--results", str(tmp_path)]
    monkeypatch.setattr("sys.argv", ["tdbench", "reference", "checks", *options])
    with pytest.raises(SystemExit, match="0"):
        main()
    assert load_reference(files.reference("cells", "clean-fid")).features.shape == (400, 16)
    for objective in ("baseline", "td", "huber"):
        run = plan.run(f"flow-{objective}-seed0")
        layout = RunLayout(tmp_path, run)
        train(run, files.archive, layout)
        sample_run(run, layout)
        evaluate_run(run, layout, files)
        record = json.loads(layout.sample_set(1280, 4).with_suffix(".json").read_text())
        assert record["nfe"] == 2 * 4 - 1
        scores = json.loads(layout.scores.read_text())["scores"]
        assert all(np.isfinite(score["value"]) and score["features"] == "cells" for score in scores)
        assert {score["metric"] for score in scores} == {"fid", "kid", "mean-distance"}


def test_a_missing_reference_of_a_plugins_extractor_is_answered_with_a_command_that_works(
    plan: Plan, tmp_path: Path
) -> None:
    """The command names the plug-in: without it the extractor is not known."""
    path = DatasetLayout(tmp_path, "checks").reference("cells", "clean-fid")
    with pytest.raises(TdbenchError, match=r"tdbench reference checks .*--plugin \S*own_extractor\.py"):
        describe_references(DatasetLayout(tmp_path, "checks"), ["clean-fid"], "cells")
    assert not path.exists()


def test_the_examples_sampler_has_its_order(plan: Plan) -> None:
    """On Gaussian data with the example's own formulation."""
    run, s = plan.run("flow-td-seed0"), 0.5
    formulation = run.formulation
    x = torch.randn(64, 1, 4, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(0))

    def perfect(x: Tensor, t: Tensor, condition: Condition) -> Tensor:
        alpha, sigma = formulation.level(t)
        return alpha * s**2 / (alpha**2 * s**2 + sigma**2) * x

    alpha, sigma = formulation.level(formulation.grid.times(1))
    exact = x * (sigma / alpha) * s / (s**2 + (sigma / alpha) ** 2).sqrt()
    errors = [
        float((run.sampling.sampler.sample(perfect, x, UNCONDITIONAL, formulation, n, lambda: x) - exact).norm())
        for n in (16, 32)
    ]
    assert errors[0] / errors[1] > 3


@pytest.mark.parametrize(
    ("code", "words"),
    [
        ("1 / 0", "ZeroDivisionError: division by zero"),
        ("def f(:", "SyntaxError"),
        ("import no_such_module", "No module named 'no_such_module'"),
        ("from tdbench.plugins import register\nregister('sampler')(int)", "a sampler is a subclass of"),
        (
            "from tdbench.plugins import register\nfrom tdbench.diffusion.samplers import Heun\n"
            "@register('sampler')\nclass Mine(Heun): pass",
            "sampler 'heun': is a name of tdbench's own",
        ),
        (
            "from tdbench.plugins import register\nregister('metric', 'mine')(int)",
            "a metric is a tdbench.experiment.metrics.Metric with a name: register('metric', 'mine')(...)",
        ),
        (
            "from tdbench.plugins import register\nfrom tdbench.experiment.metrics import METRICS\n"
            "register('metric', 'fid')(METRICS['kid'])",
            "metric 'fid': is a name of tdbench's own",
        ),
        (
            "from tdbench.plugins import register\nregister('table')(int)",
            "'table': cannot be registered; known: source, metric, extractor, formulation, objective, sampler",
        ),
    ],
)
def test_a_plugin_that_fails_is_named(code: str, words: str, tmp_path: Path) -> None:
    (tmp_path / "bad.py").write_text(code)
    path = tmp_path / "experiment.yaml"
    path.write_text("plugins: [bad.py]\n")
    with pytest.raises(TdbenchError) as caught:
        load_plan(str(path))
    assert str(caught.value).startswith(f"{path}: plugins: 'bad.py': ") and words in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ("missing.py", "plugins: 'm': expected a list"),
        ("[missing.py]", "no such file; looked for"),
        ("[mine]", "no such entry point in the group tdbench.plugins"),
        ("{a: 1}", "expected a list"),
    ],
)
def test_plugins_that_are_not_there(value: str, words: str, tmp_path: Path) -> None:
    path = tmp_path / "experiment.yaml"
    path.write_text(f"plugins: {value}\n")
    with pytest.raises(TdbenchError, match=words.replace("'m': ", ".*")):
        load_plan(str(path))


def test_an_entry_point_of_a_package_is_loaded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A package that is installed: a folder on the path with metadata that names the entry point."""
    (tmp_path / "my_package.py").write_text((EXAMPLES / "own_sampler.py").read_text().replace("midpoint", "midway"))
    info = tmp_path / "my_package-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: my-package\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[tdbench.plugins]\nmine = my_package\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    text = (ROOT / "tests" / "workflow" / "tiny.yaml").read_text()
    path = tmp_path / "experiment.yaml"
    path.write_text("plugins: [mine]\n" + text.replace("sampling: {", "sampling: {sampler: midway, "))
    assert load_plan(str(path)).run("edm-td-seed0").sampling.sampler.kind == "midway"


def test_nothing_is_loaded_that_is_not_named(tmp_path: Path) -> None:
    (tmp_path / "experiment.yaml").write_text((ROOT / "tests" / "workflow" / "tiny.yaml").read_text())
    (tmp_path / "own_sampler.py").write_text("raise RuntimeError('loaded')")
    assert load_plan(str(tmp_path / "experiment.yaml")).runs
