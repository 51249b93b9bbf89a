"""The compared settings for running an experiment."""

from dataclasses import dataclass

CORES_A_GPU = 16
"""Cores of a machine for each of its GPUs; an assumption."""


@dataclass(frozen=True)
class Setting:
    """The number of GPUs per run, and of cores for its scoring."""

    name: str
    gpus_a_run: int = 1
    scoring_cores: int = 1

    @property
    def options(self) -> list[str]:
        """Return further arguments for Snakemake; empty for its default behaviour."""
        resources, threads = [], []
        if self.gpus_a_run > 1:
            resources += [f"{rule}:gpu={self.gpus_a_run}" for rule in ("train", "sample")]
            threads += [f"{rule}={self.gpus_a_run}" for rule in ("train", "sample")]
        if self.scoring_cores > 1:
            resources.append(f"evaluate:processes={self.scoring_cores}")
            threads.append(f"evaluate={self.scoring_cores}")
        return ["--set-resources", *resources, "--set-threads", *threads] if resources else []


SETTINGS = (
    Setting("as it comes"),
    Setting(f"scoring on {CORES_A_GPU} cores", 1, CORES_A_GPU),
    Setting("and 8 GPUs a run", 8, CORES_A_GPU),
)
"""The default; scoring on all cores of a GPU; and in addition several GPUs per run."""
