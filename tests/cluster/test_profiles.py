"""The profiles as Snakemake and the real executors read them; nothing is submitted."""

import os
import re
import subprocess
from pathlib import Path

import pytest
from ruamel.yaml import YAML

from tests.cluster.test_slurm import EXPERIMENT
from tests.conftest import ROOT
from tests.preloaded import preloaded

pytestmark = pytest.mark.slow

PROFILES = ROOT / "workflow" / "profiles"


def read(name: str) -> dict[str, object]:
    return YAML(typ="safe", pure=True).load(PROFILES / name / "config.yaml")


def planned(results: Path, *options: str) -> dict[str, dict[str, str]]:
    """What Snakemake would ask for, by rule."""
    config = ("--config", f"experiment={EXPERIMENT}", f"results={results}")
    done = subprocess.run(
        [preloaded().program("snakemake"), "-n", *options, *config],
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    found = re.findall(r"^(?:local)?rule (\w+):\n(?:    .*\n)*?    resources: (.*)$", done.stdout, re.M)
    return {rule: dict(part.partition("=")[::2] for part in said.split(", ")) for rule, said in found}


@pytest.mark.parametrize("name", ["slurm", "kubernetes"])
def test_a_profile_of_a_cluster_has_what_the_default_one_has(name: str) -> None:
    """Which it stands in for."""
    profile = read(name)
    assert read("default").items() <= profile.items() and profile["executor"] == name


def test_slurm_plans_with_a_limit_for_each_job_and_no_more_of_it(tmp_path: Path) -> None:
    asked = planned(tmp_path, "--workflow-profile", "slurm", "--resources", "runtime=12")
    assert {rule: part["runtime"] for rule, part in asked.items()} == dict.fromkeys(asked, "12")
    train, evaluate = asked["train"], asked["evaluate"]
    assert (train["gpu"], train["mem_mb"], train["nodes"]) == ("1", "6500", "1") and "gpu" not in evaluate
    assert all(part["slurm_extra"] == "--signal=TERM@120" for part in asked.values())


def test_kubernetes_plans_on_a_shared_volume(tmp_path: Path) -> None:
    asked = planned(tmp_path, "--workflow-profile", "kubernetes")
    assert (asked["train"]["gpu"], asked["train"]["gpu_manufacturer"], asked["train"]["scale"]) == ("1", "nvidia", "0")
    assert asked["evaluate"]["mem_mb"] == "4500" and "gpu" not in asked["evaluate"]


def test_the_pod_of_the_example_mounts_the_profiles_volume_with_its_image() -> None:
    profile = read("kubernetes")
    claim, path = str(profile["kubernetes-persistent-volumes"]).split(":")
    things = list(YAML(typ="safe", pure=True).load_all(ROOT / "docs" / "examples" / "kubernetes.yaml"))
    volume, pod = things[0], things[-1]
    (container,) = pod["spec"]["containers"]
    assert volume["metadata"]["name"] == claim and volume["spec"]["accessModes"] == ["ReadWriteMany"]
    assert container["image"] == profile["container-image"] and str(profile["precommand"]).startswith(f"cd {path}/")
    (mount,) = container["volumeMounts"]
    assert mount["mountPath"] == path and pod["spec"]["volumes"][0]["persistentVolumeClaim"] == {"claimName": claim}
