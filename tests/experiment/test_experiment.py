"""The experiment file: expansion, shared seeds, and one clear line for every mistake."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
import torch
from ruamel.yaml import YAML
from torch.utils.flop_counter import FlopCounterMode
from torchvision.models import vgg16

from tdbench.cli.main import main
from tdbench.errors import TdbenchError
from tdbench.experiment.extractors import LIBRARIES
from tdbench.experiment.load import load_plan, load_plans
from tdbench.experiment.plan import Plan
from tdbench.reporting.published import read_published
from tdbench.workflow import throughput
from tdbench.workflow.batches import batches
from tdbench.workflow.budget import PUBLISHED, Throughput, describe_plans, run_budget
from tests.conftest import ROOT, TINY


def changed(tmp_path: Path, key: str, value: Any) -> Path:
    """The tiny experiment with one dotted key set, or removed where ``value`` is ``...``."""
    yaml = YAML(typ="safe", pure=True)
    content = yaml.load(TINY)
    *parents, leaf = key.split(".")
    block = content
    for parent in parents:
        block = block[parent]
    if value is ...:
        del block[leaf]
    else:
        block[leaf] = value
    path = tmp_path / "experiment.yaml"
    yaml.dump(content, path)
    return path


def test_default_experiment_is_the_one_the_readme_promises() -> None:
    plan = load_plan("digits")
    assert len(plan.experiment.seeds) >= 3 and len(plan.experiment.sampling.steps) >= 4
    assert {run.objective.kind for run in plan.comparison} == {"baseline", "td"}
    assert [run.formulation.kind for run in plan.comparison[::6]] == ["ddpm", "ddim", "vp", "ve", "edm", "ct"]
    weights = {run.objective.weight for run in plan.ablation_runs["weight"]}
    assert weights == {"pairwise", "source", "constant"}
    assert set(plan.ablations) == {"weight", "weight-ct", "lambda", "stride", "span", "begin", "coupling", "target"}
    assert all(run.sampling.sampler.kind == "ddim" for run in plan.comparison if run.formulation.kind == "ddim")


@pytest.mark.parametrize("path", sorted((ROOT / "workflow" / "experiments").glob("*.yaml")), ids=lambda p: p.stem)
def test_every_experiment_of_the_project_is_valid_and_planned_without_its_data(path: Path) -> None:
    plans = load_plans(path.stem)
    said = describe_plans(plans)
    for plan in plans:
        assert plan.experiment.name == path.stem or path.stem == "paper"
        assert f"{len(plan.runs)} runs" in said
        assert all(len(read_published(name)) for name in plan.experiment.published)


@pytest.mark.slow
def test_paper_is_all_of_the_papers_experiments_and_its_budget_their_sum() -> None:
    plans = load_plans("paper")
    assert [plan.experiment.name for plan in plans] == ["cifar10", "afhqv2", "ffhq", "ablation-cifar10"]
    said = describe_plans(plans, Throughput(100.0, "as given"))
    disk = [int(value.replace(",", "")) for value in re.findall(r"disk, MB +([\d,]+)", said)]
    hours = [float(value.replace(",", "")) for value in re.findall(r"GPU hours +([\d.,]+)", said)]
    assert len(disk) == 5 and disk[-1] == pytest.approx(sum(disk[:-1]), abs=4)
    assert hours[-1] == pytest.approx(sum(hours[:-1]), abs=4)
    # A quarter of 50 kimg x 3 passes x 42.4 GFLOP in 45.7 s.
    assert (
        PUBLISHED.of("ddpmpp") == pytest.approx(50e3 * 3 * 42.383e9 / 45.7 / 4 / 1e12) == pytest.approx(34.8, abs=0.1)
    )
    assert "GPU hours" in describe_plans(plans) and "assuming the four GPUs" in describe_plans(plans)
    # A network's own throughput: a slow small one does not make the large ones dear.
    rates = {"ddpmpp": 100.0, "ncsnpp": 100.0, "cm-unet": 100.0, "unet-small": 1.0}
    slow = describe_plans(plans, Throughput(rates, "as measured"))
    dearer = [float(value.replace(",", "")) for value in re.findall(r"GPU hours +([\d.,]+)", slow)]
    assert dearer[:3] == hours[:3] and dearer[3] == pytest.approx(100 * hours[3], rel=0.02)
    assert re.search(r"at 100 \([a-z-]+\), 1 \(unet-small\) TFLOP/s as measured", slow)
    # EDM on CIFAR-10 takes 3 x 42.383 GFLOP an image for 200 Mimg; TD one forward pass more, the longer baseline too.
    runs = plans[0].runs
    base, td = (run_budget(runs[f"cifar10/edm-{name}-seed0"]).training_flops for name in ("baseline", "td"))
    assert td == pytest.approx(4 * 42.383e9 * 200e6, rel=1e-3) and td / base == pytest.approx(1, rel=1e-3)


def test_the_network_of_a_distance_counts_in_the_budget() -> None:
    """LPIPS: VGG16 of both images, and the gradient by the first."""
    with torch.device("meta"), FlopCounterMode(display=False) as counted:
        x, y = torch.zeros(1, 3, 224, 224, requires_grad=True), torch.zeros(1, 3, 224, 224)
        network = vgg16(weights=None).features[:30].requires_grad_(False)
        (network(x).sum() + network(y).sum()).backward()
    lpips = load_plan("cifar10").run("ct-baseline-seed0")
    plain = lpips.model_copy(update={"formulation": lpips.formulation.model_copy(update={"distance": "l2"})})
    more = run_budget(lpips).training_flops - run_budget(plain).training_flops
    assert more / run_budget(lpips).trained == pytest.approx(counted.get_total_flops(), rel=1e-3)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("name: both\nincludes: [digits, digits]", "includes: two experiments are called 'digits'"),
        ("name: both\nincludes: [digits, mine.yaml]", "includes: data set 'digits' has different settings in"),
        ("name: both\nincludes: []", "includes: "),
        ("name: both\nincludes: [digots]", "both.yaml: includes: experiment 'digots': no such experiment"),
        ("name: both\nincludes: [other.yaml]", "both.yaml: includes: "),
        ("name: both\nincludes: [paper]", "both.yaml: includes: 'paper': is itself a collection; name its experiments"),
        ("name: both\nincludes: digits", "includes: 'digits': should be a list, such as [digits]"),
        ("name: both\nincludes: [digits]\nseeds: [1]", "seeds: [1]: unknown key"),
    ],
)
def test_a_collection_that_cannot_be(text: str, words: str, tmp_path: Path) -> None:
    mine = TINY.read_text().replace("digits: {source: digits}", "digits: {source: folder, path: x, resolution: 8}")
    (tmp_path / "mine.yaml").write_text(mine)
    path = tmp_path / "both.yaml"
    path.write_text(text)
    with pytest.raises(TdbenchError) as caught:
        load_plans(str(path))
    assert words in str(caught.value)


def test_a_collection_is_no_experiment_to_train() -> None:
    with pytest.raises(TdbenchError, match="is a collection of experiments; name one of them: cifar10"):
        load_plan("paper")


def test_batches_hold_every_run_once_and_differ_by_one_run_at_most() -> None:
    plan = load_plan("digits")

    def with_size(runs: int) -> Plan:
        return plan.model_copy(update={"experiment": plan.experiment.model_copy(update={"runs_per_job": runs})})

    found = batches(with_size(6))
    names = [run.name for batch in found.values() for run in batch.runs]
    assert sorted(names) == sorted(plan.runs) and all(len(batch.runs) <= 6 for batch in found.values())
    assert [len(found[f"digits/ablation-lambda/edm-{i}"].runs) for i in (1, 2)] == [6, 6]
    ddim = [run for name, batch in found.items() if name.startswith("digits/comparison/ddim-") for run in batch.runs]
    # The baselines, the longer ones too, have DDPM's weights.
    assert [run for run in ddim if run.trained_as is None] == [
        run for run in plan.comparison if run.formulation_name == "ddim" and run.objective_name == "td"
    ]
    assert list(batches(with_size(1))) == list(plan.runs)


def test_the_papers_experiments_follow_its_protocol() -> None:
    for name in ("cifar10", "afhqv2", "ffhq"):
        plan = load_plan(name)
        edm, ct = plan.runs[f"{name}/edm-td-seed0"], plan.runs[f"{name}/ct-td-seed0"]
        assert (edm.sampling.sampler.kind, edm.sampling.images, edm.evaluation.last_percent) == ("heun", 50000, 15)
        assert (ct.sampling.sampler.kind, ct.sampling.steps, edm.training.duration_kimg) == (
            "consistency",
            (1, 2),
            200000,
        )
        optimizers = [(run.training.optimizer.kind, run.training.optimizer.epsilon) for run in (edm, ct)]
        assert optimizers == [("adam", 1e-8), ("radam", 1e-8)]
        figures = read_published("main")
        theirs = figures[(figures.dataset == name) & (figures.formulation == "edm")]
        assert set(theirs.steps) <= set(edm.sampling.steps) and len(plan.experiment.seeds) == 3
        assert set(theirs.network.dropna()) == {edm.network.kind}
        assert set(theirs.learning_rate.dropna()) == {edm.training.learning_rate}
        # One column for each way in which Inception's FIDs are published.
        assert edm.evaluation.libraries == ct.evaluation.libraries == tuple(LIBRARIES)
    assert all(run.evaluation.libraries == tuple(LIBRARIES) for run in load_plan("ablation-cifar10").runs.values())
    ablations = load_plan("ablation-cifar10").ablations
    assert {name: len(cases) for name, cases in ablations.items()} == {
        "weight": 3,
        "lambda": 6,
        "stride": 4,
        "span": 3,
        "coupling": 4,
        "target": 4,
    }


def test_consistency_training_follows_the_released_code() -> None:
    """METHOD: the recipes of its CIFAR-10 and 64x64 code, as every run resolves them."""
    for name, expected in {
        "cifar10": ("ncsnpp", 2e-4, 10000, 512, 800_001, True, "uniform", 1, (2, 150, 0.9), "linear"),
        "afhqv2": ("cm-unet", 1e-4, 0, 2048, 600_000, False, "karras", 1000, (40, 40, 0), "pairwise"),
        "ffhq": ("cm-unet", 1e-4, 0, 2048, 600_000, False, "karras", 1000, (40, 40, 0), "pairwise"),
    }.items():
        plan = load_plan(name)
        for objective in ("baseline", "td"):
            run = plan.runs[f"{name}/ct-{objective}-seed0"]
            t, f, optimizer = run.training, run.formulation, run.training.optimizer
            assert (
                run.network.kind,
                t.learning_rate,
                t.rampup_kimg,
                t.batch_size,
                t.steps,
                t.horizontal_flips,
                f.loss_weight,
                f.noise_scale,
                (f.scales.initial, f.scales.final, f.scales.mu0),
            ) == expected[:-1]
            assert (optimizer.kind, optimizer.betas[0], optimizer.weight_decay) == ("radam", 0.9, 0)
            assert (t.gradient_clip_norm, t.ema_decay, t.ema_half_life_kimg) == (None, 0.9999, None)
            assert (f.distance, run.network.dropout, t.augmentation) == ("lpips", 0, 0)
            assert len(run.scored_snapshots()) == 13
        td = run.objective
        assert (td.lambda_, td.span, td.stride, td.weight) == (0.5, 1, 0.25, expected[-1])
        assert (td.coupling, td.posterior, td.target.kind) == ("shared", "ancestral", "own")


def test_every_setting_of_a_run_can_be_shown(monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    monkeypatch.setattr("sys.argv", ["tdbench", "plan", "ffhq", "--run", "ct-td-seed1"])
    with pytest.raises(SystemExit) as ended:
        main()
    shown = json.loads(capsys.readouterr().out)
    run = load_plan("ffhq").run("ct-td-seed1")
    assert not ended.value.code and shown == run.model_dump(mode="json", by_alias=True)
    assert shown["training"]["optimizer"]["kind"] == "radam" and shown["objective"]["posterior"] == "ancestral"
    monkeypatch.setattr("sys.argv", ["tdbench", "plan", "ffhq", "--run", "ct-seed1"])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 2 and "no run 'ct-seed1'" in capsys.readouterr().err


def test_expansion_names_every_run_once_and_reuses_equal_ones(tiny: Plan) -> None:
    assert list(tiny.runs) == [
        "digits/edm-baseline-seed0",
        "digits/edm-baseline-seed1",
        "digits/edm-td-seed0",
        "digits/edm-td-seed1",
        "digits/edm-baseline-3.392kimg-seed0",
        "digits/edm-baseline-3.392kimg-seed1",
        "digits/edm-td-weight-constant-seed0",
        "digits/edm-td-weight-constant-seed1",
    ]
    cases = {case.label: case.objective_name for case in tiny.ablations["weight"]}
    assert cases == {"weight = pairwise": "td", "weight = constant": "td-weight-constant"}


def test_an_ablation_may_vary_several_settings_at_once(tmp_path: Path) -> None:
    vary = {"objective.lambda": [0.1, 1], "training.learning_rate": [1e-3, 2e-3]}
    plan = load_plan(str(changed(tmp_path, "ablations", {"both": {"base": "td", "vary": vary}})))
    runs = plan.ablation_runs["both"]
    assert len(runs) == 4 * 2
    assert {(r.objective.lambda_, r.training.learning_rate) for r in runs} == {
        (a, b) for a in (0.1, 1) for b in (1e-3, 2e-3)
    }
    assert "digits/edm-td-lambda-0.1-learning-rate-0.001-seed0" in plan.runs


def test_names_are_kinds_unless_a_kind_is_given(tmp_path: Path) -> None:
    objectives = {"baseline": {}, "td": {}, "td-shared": {"kind": "td", "coupling": "shared"}}
    plan = load_plan(str(changed(tmp_path, "objectives", objectives)))
    run = plan.run("edm-td-shared-seed1")
    assert run.objective.coupling == "shared" and run.objective.posterior == "deterministic"


def test_presets_fill_in_what_is_left_out(tmp_path: Path) -> None:
    objectives = {"baseline": {}, "td": {}, "released": {"kind": "td", "preset": "release", "lambda": 0.3}}
    path = changed(tmp_path, "objectives", objectives)
    path.write_text(path.read_text().replace("edm: {}", "edm: {}\n  ct: {}"))
    plan = load_plan(str(path))
    shown = {
        name: [getattr(plan.run(f"{name}-seed0").objective, key) for key in ("weight", "span", "stride", "lambda_")]
        for name in ("edm-td", "edm-released", "ct-td")
    }
    assert shown == {
        "edm-td": ["pairwise", 1, 0.25, 0.5],
        "edm-released": ["source", 3, 0.2, 0.3],
        "ct-td": ["pairwise", 1, 0.25, 0.5],
    }
    both = [plan.run(f"ct-{name}-seed0").objective for name in ("td", "released")]
    assert [o.posterior for o in both] == ["deterministic", "ancestral"] and {o.target.kind for o in both} == {"own"}


def test_overrides_hold_for_their_cells_and_the_last_one_wins(tmp_path: Path) -> None:
    overrides = [
        {"objectives": ["td"], "set": {"sampling.steps": [2], "network.dropout": 0.1}},
        {"formulations": ["edm"], "objectives": ["td"], "set": {"sampling.steps": [4], "sampling.images": 64}},
    ]
    plan = load_plan(str(changed(tmp_path, "overrides", overrides)))
    td, baseline = plan.run("edm-td-seed1"), plan.run("edm-baseline-seed1")
    assert (td.sampling.steps, td.sampling.images, td.network.dropout) == ((4,), 64, 0.1)
    assert (baseline.sampling.steps, baseline.sampling.images, baseline.network.dropout) == ((2, 4), 128, 0)


def test_an_ablation_of_the_sampler_trains_nothing_anew(tmp_path: Path) -> None:
    vary = {"sampling.sampler": ["heun", "euler", {"kind": "ddim", "eta": 0.5}]}
    plan = load_plan(str(changed(tmp_path, "ablations", {"sampler": {"base": "td", "vary": vary}})))
    runs = [run for run in plan.ablation_runs["sampler"] if run.seed == 0]
    assert [run.trained_as for run in runs] == [None, "digits/edm-td-seed0", "digits/edm-td-seed0"]
    assert [case.label for case in plan.ablations["sampler"]] == [
        "sampler = heun",
        "sampler = euler",
        "sampler = ddim 0.5",
    ]


def test_combinations_of_one_name_are_refused(tmp_path: Path) -> None:
    path = changed(tmp_path, "formulations", {"edm": {}, "edm-td": {"kind": "edm"}})
    text = path.read_text().replace("objectives:\n", "objectives:\n  td-td: {kind: td}\n")
    path.write_text(text)
    with pytest.raises(TdbenchError, match="are called 'digits/edm-td-td-seed0'; rename one"):
        load_plan(str(path))


def test_training_settings_hold_what_the_weights_depend_on_and_nothing_else(tmp_path: Path) -> None:
    def settings(key: str, value: Any) -> dict[str, Any]:
        runs = load_plan(str(changed(tmp_path, key, value))).runs
        return {name: run.training_settings() for name, run in runs.items()}

    base = settings("description", "as it was")
    for key, value in {"training.metrics_every_steps": 7, "sampling.steps": [3], "evaluation.last_percent": 50}.items():
        assert settings(key, value) == base
    coarser = settings("formulations.edm", {"grid": {"num_steps": 10}})
    assert {name for name in base if coarser[name] != base[name]} == {name for name in base if "baseline" not in name}
    assert settings("training.learning_rate", 0.1).keys() == base.keys()
    assert all(settings("training.learning_rate", 0.1)[name] != base[name] for name in base)


def test_last_percent_of_training(tiny: Plan) -> None:
    run = tiny.run("edm-td-seed0")
    assert run.training.snapshot_steps() == [5, 10, 15, 20, 25, 30, 35, 40]
    # 25 % of 2,560 images: those after 1,920.
    assert run.scored_snapshots() == [2240, 2560]


@pytest.mark.parametrize(
    ("key", "value", "words"),
    [
        ("training.batchsize", 64, ["training.batchsize: 64", "unknown key"]),
        ("formulations", {"edn": {}}, ["formulations.edn: kind 'edn'", "known: ddpm, ddim, vp, ve, edm, ct"]),
        ("objectives.td.kind", "tdd", ["objectives.td: kind 'tdd'", "known: baseline, td"]),
        ("objectives.td.lambda", -0.5, ["objectives.td.lambda: -0.5", "greater than or equal to 0"]),
        ("objectives.td.stride", 1.5, ["objectives.td: edm: stride 1.5 (Delta) must be below span 1 (k)"]),
        ("objectives.td.span", 17, ["objectives.td", "span + stride (k + Delta) 17.25", "at most 17"]),
        (
            "objectives.td.weight",
            "pair",
            ["objectives.td.weight: 'pair'", "'pairwise', 'source', 'constant' or 'linear'"],
        ),
        ("sampling.steps", [0, 4], ["sampling.steps.0: 0", "greater than or equal to 1"]),
        ("sampling.steps", [4, 2], ["sampling", "steps must increase without repetition, got [4, 2]"]),
        ("sampling.sampler", "hein", ["sampling.sampler: 'hein'", "known: heun"]),
        ("network", "unet-huge", ["network: 'unet-huge'", "known: unet-tiny, unet-micro, unet-small"]),
        ("datasets.digits.source", "mnist", ["datasets.digits.source: 'mnist'", "known: digits, archive"]),
        ("training.learning_rate", "fast", ["training.learning_rate: 'fast'", "valid number"]),
        ("training.duration_kimg", float("nan"), ["training.duration_kimg: nan", "finite"]),
        ("training.learning_rate", ..., ["training.learning_rate", "is missing"]),
        ("seeds", [0, 0], ["seeds: [0, 0]", "listed twice"]),
        ("name", "../up", ["name: '../up'", "letters, digits"]),
        ("evaluation.kid_subset_size", 129, ["evaluation.kid_subset_size: 129", "sampling.images, which is 128"]),
        ("evaluation.libraries", ["cleanfid"], ["evaluation.libraries.0: 'cleanfid'", "clean-fid, clean-fid-leg"]),
        ("evaluation.libraries", ["clean-fid", "clean-fid"], ["evaluation: libraries: 'clean-fid' is listed twice"]),
        (
            "evaluation.libraries",
            ["clean-fid", "clean-fid-legacy-tensorflow"],
            ["evaluation: libraries: 'clean-fid-legacy-tensorflow'", "which features 'classifier' do not use"],
        ),
        (
            "evaluation.weights",
            "w.pth",
            ["evaluation: weights: only features inception takes weights, not 'classifier'"],
        ),
        ("evaluation.weights", 3, ["evaluation.weights: 3: should be a path, or a mapping of clean-fid and torch-fid"]),
        ("evaluation.weights", {"lpips": "w.pth"}, ["evaluation.weights: lpips: publishes no weights", "known: clean"]),
        ("evaluation.weights", {"clean-fid": 3}, ["evaluation.weights: clean-fid: 3: should be the path of a file"]),
        (
            "ablations.weight.vary",
            {"evaluation.weights": ["w.pth"]},
            ["ablations.weight.vary: evaluation.weights", "all runs of an experiment use the same files"],
        ),
        (
            "training.distance_weights",
            "w.pth",
            ["training.distance_weights: ", "w.pth: no formulation here has"],
        ),
        ("training.distance_weights", 3, ["training.distance_weights: 3: should be the path of a file"]),
        (
            "ablations.weight.vary",
            {"training.distance_weights": ["w.pth"]},
            ["ablations.weight.vary: training.distance_weights", "all runs of an experiment use the same file"],
        ),
        ("objectives", {"td": {}}, ["objectives: ['td']", "exactly one must be of kind baseline"]),
        ("objectives", {"other": {"kind": "baseline"}, "td": {"kind": "baseline"}}, ["exactly one must be of kind"]),
        ("name", "datasets", ["name: 'datasets'", "is the name of a folder that tdbench keeps in the results"]),
        ("training.duration_kimg", 1e-12, ["training", "exceeds duration_kimg 1e-12"]),
        ("datasets.digits", {"source": "archive"}, ["datasets.digits: source archive: needs a path"]),
        ("datasets.digits.path", "a.zip", ["datasets.digits: source digits: takes no path"]),
        (
            "ablations.weight.vary",
            {"dataset.path": ["a.zip"]},
            ["ablations.weight.vary: dataset.path", "no such setting"],
        ),
        ("ablations.weight.vary", {"sampling.images": [32]}, ["evaluation.kid_subset_size: 64", "which is 32"]),
        (
            "ablations.weight.vary",
            {"evaluation.features": ["inception"]},
            ["ablations.weight.vary: evaluation.features", "all runs of an experiment use the same features"],
        ),
        (
            "overrides",
            [{"set": {"objective.target": "online"}}],
            ["objective.target", "no such setting of edm-baseline"],
        ),
        ("overrides", [{"set": {"sampling.step": 3}}], ["overrides.0.set: sampling.step", "no such setting"]),
        (
            "overrides",
            [{"formulations": ["vp"], "set": {"network": 1}}],
            ["overrides.0.formulations: 'vp'", "known: edm"],
        ),
        ("sampling.sampler", {"kind": "ddim", "eta": 2}, ["sampling.sampler.eta: 2", "less than or equal to 1"]),
        (
            "objectives.td.target",
            {"kind": "slow"},
            ["objectives.td.target: kind 'slow'", "'ema', 'hard', 'online', 'own'"],
        ),
        ("ablations.weight.base", "tdx", ["ablations.weight.base: 'tdx'", "known: baseline, td"]),
        (
            "ablations.weight.vary",
            {"objective.wait": [1]},
            ["ablations.weight.vary: objective.wait", "no such setting"],
        ),
        ("ablations.weight.vary", {"objective.lambda": [-1]}, ["ablations.weight.vary: objective", "lambda: -1"]),
    ],
)
def test_a_mistake_is_one_line_with_file_key_value_and_what_is_allowed(
    key: str,
    value: Any,
    words: list[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    path = changed(tmp_path, key, value)
    monkeypatch.setattr("sys.argv", ["tdbench", "validate", str(path)])
    with pytest.raises(SystemExit) as exit_:
        main()
    error = capsys.readouterr().err
    assert exit_.value.code == 2
    assert error.startswith(f"tdbench: error: {path}: ") and error.count("\n") == 1, error
    for word in words:
        assert word in error, error


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("name: a\nname: b\n", "line 2"),
        ("name: [a\n", "not valid YAML"),
        ("- a\n", "an experiment is a mapping"),
        ("", "an experiment is a mapping"),
    ],
)
def test_files_that_are_no_experiments(text: str, words: str, tmp_path: Path) -> None:
    path = tmp_path / "broken.yaml"
    path.write_text(text)
    with pytest.raises(TdbenchError, match=words):
        load_plan(str(path))


def test_an_unknown_experiment_lists_the_known_ones() -> None:
    with pytest.raises(TdbenchError, match=r"'digit': no such experiment \(did you mean 'digits'\?\); known: .*digits"):
        load_plan("digit")


def test_an_unknown_run_names_the_nearest(tiny: Plan) -> None:
    with pytest.raises(TdbenchError, match=r"no run 'edm-td-seed9'; `tdbench plan .*nearest: digits/edm-td-seed"):
        tiny.run("edm-td-seed9")


@pytest.mark.slow
def test_throughput_is_measured_network_by_network(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(throughput, "SECONDS", 0.2)
    # For the time's sake: the batch of a GPU takes this test ten seconds on a CPU.
    monkeypatch.setattr(throughput, "BATCH", {"cuda": 4, "cpu": 4})
    measured = throughput.measure_throughput(["unet-tiny", "unet-small", "unet-tiny"], threads=1)
    assert set(measured.tflops) == {"unet-tiny", "unet-small"}
    # Between a microcontroller and a data centre.
    assert all(1e-6 < rate < 1e4 for rate in measured.tflops.values())
    assert "unet-tiny" in measured.describe(measured.tflops) and measured.of("unet-small") > 0
