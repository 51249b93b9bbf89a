"""The templates of docs/examples, from the experiment file to scores, and mistakes in plug-ins."""

import json
import re
import shlex
import shutil
from collections.abc import Iterator
from contextlib import chdir
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from ruamel.yaml import YAML
from torch import Tensor

from tdbench.data.archive import ImageSet, read_archive
from tdbench.diffusion.preconditioning import UNCONDITIONAL, Condition
from tdbench.errors import TdbenchError
from tdbench.evaluation.features import describe_references, load_reference
from tdbench.evaluation.scores import evaluate_run, load_extractor
from tdbench.experiment.load import load_plan
from tdbench.experiment.metrics import label, lower_is_better
from tdbench.experiment.plan import Plan
from tdbench.experiment.plugins import load_plugins, register
from tdbench.records.layout import DatasetLayout, RunLayout
from tdbench.sampling.stage import sample_run
from tdbench.training.loop import train
from tdbench.workflow.flow import Workflow
from tests.cases.calls import own_plugins, tdbench
from tests.conftest import ROOT

EXAMPLES = ROOT / "docs" / "examples"


IMPORTS = """\
from tdbench.experiment.extractors import EXTRACTORS
from tdbench.experiment.metrics import METRICS
from tdbench.plugins import register
def metric(**changes): register("metric", "mine")(METRICS["kid"]._replace(**changes))
def extractor(**changes): register("extractor", "mine")(EXTRACTORS["efficientnet-lite0"]._replace(**changes))
"""
SMALL = """\
name: mine
datasets: {digits: {source: digits}}
formulations: {edm: {}}
objectives: {baseline: {}, td: {}}
seeds: [0]
network: unet-tiny
training:
  duration_kimg: 0.64
  batch_size: 64
  learning_rate: 2.0e-3
  ema_half_life_kimg: 0.32
  snapshot_kimg: 0.64
sampling: {steps: [2], images: 64, batch_size: 64}
evaluation: {features: cells, metrics: [fid], kid_subsets: 5, kid_subset_size: 32}
"""
TEMPLATES = {
    "source": "own_data",
    "extractor": "own_extractor",
    "formulation": "own_formulation",
    "metric": "own_metric",
    "objective": "own_objective",
    "sampler": "own_sampler",
}
"""What can be registered -> its template."""


@pytest.fixture(scope="module")
def plan() -> Iterator[Plan]:
    with own_plugins():
        yield load_plan(str(EXAMPLES / "plugin.yaml"))


def test_everything_that_can_be_registered_has_a_template() -> None:
    with pytest.raises(TypeError) as caught:
        register("nothing")(None)
    assert set(str(caught.value).split("known: ")[1].split(", ")) == set(TEMPLATES)
    assert sorted(f.stem for f in EXAMPLES.glob("own_*.py")) == sorted(TEMPLATES.values())


@pytest.mark.slow
@pytest.mark.parametrize("stem", TEMPLATES.values())
def test_a_template_works_as_its_first_lines_say(stem: str, tmp_path: Path) -> None:
    """Copied beside a small experiment on the digits, with the lines added that it names: from images to scores."""
    text = (EXAMPLES / f"{stem}.py").read_text()
    assert len(text.splitlines()) < 50 and "Change th" in text
    plugins, *blocks = added(text)
    assert plugins == {"plugins": [f"{stem}.py"]} and blocks
    experiment = YAML(typ="safe").load(SMALL) | {"plugins": list(dict.fromkeys(["own_extractor.py", f"{stem}.py"]))}
    for key, value in blocks[0].items():
        merged = key in ("sampling", "evaluation")
        experiment[key] = experiment[key] | value if merged else value
    for name in experiment["plugins"]:
        shutil.copy(EXAMPLES / name, tmp_path)
    with (tmp_path / "mine.yaml").open("w") as handle:
        YAML().dump(experiment, handle)
    scores = scored(tmp_path)
    assert np.isfinite(scores.value).all()
    assert set(scores.metric) == set(experiment["evaluation"]["metrics"])


def added(text: str) -> list[dict[str, Any]]:
    """The pieces of an experiment file that a template's first lines name."""
    lines = text.split('"""')[1].replace("\n", " ")
    return [YAML(typ="safe").load(piece) for piece in re.findall(r"`(\w+: [\[{][^`]+)`", lines)]


def scored(folder: Path) -> pd.DataFrame:
    """The scores of the last run of ``mine.yaml``, by the commands that the workflow calls."""
    with own_plugins(), chdir(folder):
        plan = load_plan("mine.yaml")
        workflow, run = Workflow([plan], Path("results")), list(plan.runs.values())[-1]
        data, dataset = workflow.source_arguments(run.dataset_name), run.dataset_name
        plugin, layout = workflow.extractor_plugin("cells"), RunLayout(Path("results"), run)
    for arguments in (
        f"data {data} --output {DatasetLayout(Path('results'), dataset).archive}",
        f"reference {dataset} --features cells {plugin}",
        *(f"{stage} mine.yaml {run.name}" for stage in ("train", "sample", "evaluate")),
    ):
        called = tdbench(*shlex.split(arguments), cwd=folder)
        assert called.code == 0, called
    return pd.DataFrame(json.loads((folder / layout.scores).read_text())["scores"])


@pytest.mark.slow
def test_the_templates_together_from_data_to_scores(plan: Plan, tmp_path: Path) -> None:
    files, workflow = DatasetLayout(tmp_path, "checks"), Workflow([plan], tmp_path)
    option = workflow.extractor_plugin("cells")
    assert option == f"--plugin {EXAMPLES / 'own_extractor.py'}"
    for arguments in (
        f"data {workflow.source_arguments('checks')} --output {files.archive}",
        f"reference checks --features cells {option} --results {tmp_path}",
    ):
        assert tdbench(*shlex.split(arguments), cwd=tmp_path).code == 0
    data = read_archive(files.archive)
    assert data.images.shape == (400, 1, 8, 8) and data.num_classes == 2
    assert load_reference(files.reference("cells", "clean-fid")).features.shape == (400, 16)
    for objective in ("baseline", "td", "huber"):
        run = plan.run(f"flow-{objective}-seed0")
        layout = RunLayout(tmp_path, run)
        train(run, files.archive, layout)
        sample_run(run, layout)
        evaluate_run(run, layout, files)
        record = json.loads(layout.sample_set(1280, 4).with_suffix(".json").read_text())
        assert record["nfe"] == 2 * 4 - 1
        scores = pd.DataFrame(json.loads(layout.scores.read_text())["scores"])
        assert np.isfinite(scores.value).all() and set(scores.features) == {"cells"}
        found = set(zip(scores.metric, scores.library, strict=True))
        both = {(metric, library) for metric in ("fid", "kid") for library in ("clean-fid", "torch-fidelity")}
        assert found == both | {("mean-distance", "torch-fidelity")}
    # The report knows the metric.
    assert label("mean-distance") == "mean distance" and lower_is_better("mean-distance")


def test_a_missing_reference_is_made_by_the_command_that_the_message_advises(plan: Plan, tmp_path: Path) -> None:
    with pytest.raises(TdbenchError) as caught:
        describe_references(DatasetLayout(tmp_path, "checks"), ["clean-fid"], "cells")
    command = f"tdbench reference checks --features cells --library clean-fid --plugin {EXAMPLES}/own_extractor.py"
    assert command in str(caught.value)


@pytest.mark.parametrize(
    ("loader", "extract", "words"),
    [
        ("1 / 0", "images", "ZeroDivisionError: division by zero"),
        ("None", "images", "its loader returned None; expected a FeatureExtractor named 'mine'"),
        ("found._replace", "images", "AttributeError"),
        ("replace(found, name='other')", "images", "expected a FeatureExtractor named 'mine'"),
        ("found", "images", "extract returned (1797, 1, 8, 8); expected a tensor of shape (1797, 64)"),
        ("found", "images.flatten(1).tolist()", "extract returned list; expected a tensor of shape (1797, 64)"),
        ("found", "images.no_such_thing", "AttributeError: 'Tensor' object has no attribute 'no_such_thing'"),
    ],
)
def test_an_extractor_that_fails_is_named(
    loader: str, extract: str, words: str, images: ImageSet, tmp_path: Path
) -> None:
    (tmp_path / "bad.py").write_text(
        "from dataclasses import replace\n"
        "from tdbench.evaluation.features import FeatureExtractor\n"
        "from tdbench.experiment.extractors import Extractor\n"
        "from tdbench.plugins import register\n"
        f"found = FeatureExtractor('mine', 'none', 'none', lambda images: {extract})\n"
        f"def load(library, files, weights):\n    return {loader}\n"
        "row = Extractor('', '', '', f'{__name__}:load', f'{__name__}:load', gflops=0.1, dimensions=64)\n"
        "register('extractor', 'mine')(row)\n"
    )

    def extract_all() -> None:
        load_plugins(["bad.py"], tmp_path / "mine.yaml")
        extractor = load_extractor("mine", "clean-fid", DatasetLayout(tmp_path, "digits"))
        extractor.extract(torch.from_numpy(images.images))

    with own_plugins(), pytest.raises(TdbenchError) as caught:
        extract_all()
    assert str(caught.value).startswith(f"feature extractor mine of {tmp_path / 'bad.py'}: ")
    assert words in str(caught.value)


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
            "sampler 'heun': is a built-in name",
        ),
        (
            "from tdbench.plugins import register\nregister('table')(int)",
            "'table': cannot be registered; known: source, metric, extractor, formulation, objective, sampler",
        ),
        (
            f"{IMPORTS}register('metric', 'fid')(METRICS['kid'])",
            "metric 'fid': is a built-in name; choose another",
        ),
        (
            f"{IMPORTS}register('metric', 'mine')(int)",
            "a metric is a tdbench.experiment.metrics.Metric with a name: register('metric', 'mine')(...)",
        ),
        (f"{IMPORTS}register('metric')(METRICS['kid'])", "a metric is a tdbench.experiment.metrics.Metric with a name"),
        (f"{IMPORTS}register('metric', 'My_own')(METRICS['kid'])", "a name has lower-case letters, digits and hyphens"),
        (f"{IMPORTS}metric(better='less')", "metric 'mine': better is 'less'; expected 'lower' or 'higher'"),
        (f"{IMPORTS}metric(libraries=('fidelity',))", "expected a tuple of some of: clean-fid, torch-fidelity"),
        (f"{IMPORTS}metric(libraries='clean-fid')", "expected a tuple of some of: clean-fid, torch-fidelity"),
        (f"{IMPORTS}metric(function=f'{{__name__}}:missing')", "has no attribute 'missing'"),
        (f"{IMPORTS}metric(function=f'{{__name__}}:METRICS')", ":METRICS' is not a function"),
        (f"{IMPORTS}extractor(trained_on_data=True)", "a plug-in cannot set own_of_library or trained_on_data"),
        (f"{IMPORTS}extractor(dimensions=1)", "extractor 'mine': dimensions is 1; a covariance needs at least 2"),
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
        ("[missing.py]", "no such file: "),
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
