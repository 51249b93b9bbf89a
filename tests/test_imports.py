"""What commands do without: libraries that take seconds to import."""

import os
import subprocess
import sys

import pytest

from tests.conftest import ROOT, TINY

HEAVY = {
    "cleanfid",
    "diffusers",
    "matplotlib",
    "mlflow",
    "pandas",
    "physicsnemo",
    "scipy",
    "seaborn",
    "sklearn",
    "torch_fidelity",
    "torchvision",
}
BUILD = (
    "import tdbench.workflow.stages; from types import SimpleNamespace as shape; "
    "from tdbench.experiment.load import load_plan; "
    "from tdbench.training.state import build_denoiser; "
    f"build_denoiser(load_plan({str(TINY)!r}).run('edm-td-seed0'), shape(channels=1, resolution=8, classes=10), 0)"
)
COMMAND = "import sys; from tdbench.cli.main import app; app({}, standalone_mode=False)"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("code", "unwanted"),
    [
        (COMMAND.format(["--help"]), HEAVY | {"torch", "numpy"}),
        (COMMAND.format(["validate", str(TINY)]), HEAVY | {"torch._dynamo"}),
        (COMMAND.format(["plan", str(TINY), "--tflops", "1"]), HEAVY | {"torch._dynamo"}),
        ("import tdbench.workflow.stages", HEAVY | {"torch._dynamo"}),
        # What a training and a sampling need: diffusers itself brings scipy and torchvision.
        (BUILD, HEAVY - {"diffusers", "scipy", "torchvision"} | {"transformers"}),
        ("import tdbench.evaluation.scores", HEAVY - {"cleanfid", "scipy", "torch_fidelity", "torchvision"}),
        ("import tdbench.reporting.report", {"cleanfid", "diffusers", "mlflow", "torch_fidelity", "torchvision"}),
        (
            "import tdbench.reporting.tracking.track",
            {"cleanfid", "diffusers", "matplotlib", "seaborn", "torch_fidelity"},
        ),
        ("import tdbench.workflow.flow", HEAVY - {"pandas"}),
        ("import tdbench.reporting.crate.export", HEAVY - {"pandas", "scipy"}),
        ("import tdbench.reporting.crate.check", HEAVY | {"torch"}),
    ],
    ids=[
        "help",
        "validate",
        "plan",
        "stages",
        "train",
        "evaluate",
        "report",
        "track",
        "workflow",
        "export",
        "check-crate",
    ],
)
def test_a_command_leaves_out_what_it_does_not_use(code: str, unwanted: set[str]) -> None:
    program = f"{code}\nimport sys; print('modules', *sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, env=os.environ | {"PYTHONPATH": str(ROOT)}
    )
    assert done.returncode == 0 and "leaked" not in done.stderr, done.stderr
    imported = done.stdout.splitlines()[-1].split()
    assert imported[0] == "modules" and "tdbench" in imported
    assert unwanted & set(imported) == set()


@pytest.mark.slow
def test_make_lets_python_keep_compiled_modules() -> None:
    """Where the caller's environment forbids it, as many containers do, each job would compile them again."""
    probe = 'include Makefile\nprobe:\n\t@echo "set to [$$PYTHONDONTWRITEBYTECODE]"\n'
    done = subprocess.run(
        ["make", "-s", "-f", "-", "probe"],
        input=probe,
        capture_output=True,
        text=True,
        cwd=ROOT,
        env=os.environ | {"PYTHONDONTWRITEBYTECODE": "1"},
    )
    assert done.stdout == "set to []\n", done.stderr
