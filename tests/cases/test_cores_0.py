"""Snakemake without cores: a line instead of a traceback."""

from types import SimpleNamespace
from typing import Any

import pytest

from tdbench.workflow import config
from tests.cases.test_config_number import snakemake


@pytest.mark.slow
def test_the_case(tmp_path: Any) -> None:
    done = snakemake(tmp_path, "--cores", "0")
    assert done.returncode == 2 and "Traceback" not in done.stderr + done.stdout
    assert done.stderr.strip().splitlines()[-1] == "tdbench: error: --cores 0: no job can run; give at least 1, or all"


@pytest.mark.parametrize(("cores", "ends"), [(0, True), (1, False), (None, False)])
def test_what_snakemake_counts(cores: int | None, ends: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """None is a cluster's, whose jobs have cores of their own."""
    codes: list[int] = []
    monkeypatch.setattr(config.os, "_exit", codes.append)
    config.need_cores(SimpleNamespace(resource_settings=SimpleNamespace(cores=cores)))
    assert codes == [2] * ends
