"""The measurements as a program; how fast anything is they do not say here."""

import json
import math
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from benchmarks.groups import GROUPS
from benchmarks.live_bytes import LiveBytes
from benchmarks.measure import Bench, Row, alternate, exact
from benchmarks.memory import counted_peak, fake_peak
from benchmarks.subjects import varied
from benchmarks.table import BEGIN, END, as_text, write_between_markers
from tdbench.errors import TdbenchError

ROOT = Path(__file__).parents[2]
CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def quick(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with all that a quick look writes."""
    folder = tmp_path_factory.mktemp("benchmarks")
    (folder / "page.md").write_text(f"before\n{BEGIN}\nold\n{END}\nafter\n")
    command = [sys.executable, "-m", "benchmarks", "--quick", "--device", "cpu"]
    command += ["--json", "found.json", "--figure", "figure.png", "--markdown", "page.md"]
    command[4:] = [str(folder / word) if "." in word else word for word in command[4:]]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]
    return folder


def test_every_group_gives_positive_ratios_with_their_spread(quick: Path) -> None:
    rows: list[dict[str, Any]] = json.loads((quick / "found.json").read_text())["rows"]
    assert list(dict.fromkeys(row["group"] for row in rows)) == list(GROUPS)
    assert len({(row["group"], row["name"]) for row in rows}) == len(rows)
    for row in rows:
        assert 0 < row["low"] <= row["ratio"] <= row["high"] < math.inf or row["kind"] == "error", row
        assert row["ratio"] >= 0
        assert row["kind"] != "time" or row["seconds"] is None or min(row["seconds"]) > 0


def test_figures_carry_where_they_come_from(quick: Path) -> None:
    found = json.loads((quick / "found.json").read_text())
    assert found["quick"] is True
    assert {"git_commit", "versions", "written_at"} <= found["provenance"].keys()
    assert {"device", "threads", "model", "native_bf16"} <= found["hardware"].keys()


def test_the_table_goes_between_the_markers_and_the_picture_is_one(quick: Path) -> None:
    page = (quick / "page.md").read_text()
    assert page.startswith(f"before\n{BEGIN}\n") and page.endswith(f"{END}\nafter\n") and "old" not in page
    assert "a quick look" in page and all(title in page for title, _ in GROUPS.values())
    assert (quick / "figure.png").read_bytes().startswith(b"\x89PNG")


def test_a_page_without_markers_is_named(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("nothing")
    with pytest.raises(TdbenchError, match=r"page\.md: lacks the lines"):
        write_between_markers(page, "table")
    assert page.read_text() == "nothing"


def test_a_ratio_is_the_median_over_single_alternations(monkeypatch: pytest.MonkeyPatch) -> None:
    now, calls = [0.0], []

    def work(name: str, seconds: float) -> None:
        calls.append(name)
        # A machine that gets slower and slower, which does not matter to a ratio of neighbours.
        now[0] += seconds * 1.01 ** len(calls)

    monkeypatch.setattr("benchmarks.measure.time", SimpleNamespace(perf_counter=lambda: now[0]))
    (row,) = alternate(Bench(CPU), {"twice": lambda: work("twice", 2)}, lambda: work("once", 1), repeats=7)
    assert row.ratio == pytest.approx(2, rel=0.02) and row.low <= row.ratio <= row.high and row.repeats == 7
    assert calls[-6:] == ["once", "twice", "twice", "once", "once", "twice"]


def test_a_missed_target_is_said() -> None:
    assert "missed" in as_text(exact("a", "memory", 1.2, at_most=1.1))
    assert "missed" not in as_text(exact("a", "memory", 1.0, at_most=1.1))
    row = Row("a", "time", 1.5, 1.4, 1.6, "quartiles", 5, seconds=(0.3, 0.2))
    assert "300 / 200 ms" in as_text(row) and "1.400–1.600" in as_text(row)


def test_bytes_are_counted_while_tensors_live_and_views_are_not() -> None:
    with LiveBytes() as counter:
        a = torch.zeros(1000)
        view = a[10:].reshape(-1, 10)
        assert counter.live == 4000
        b = a + 1
        del b
        assert (counter.live, counter.peak) == (4000, 8000)
        del a
        assert counter.live == 4000
        del view
        assert counter.live == 0


@pytest.mark.parametrize("objective", ["baseline", "td"])
def test_fake_tensors_need_what_real_ones_need(objective: str) -> None:
    """And the allocations that PyTorch's profiler sees, but for workspaces inside operations, are the same."""
    run = varied(f"edm-{objective}-seed0", "unet-tiny", 64)
    counted = counted_peak(run, CPU)
    assert fake_peak(run, CPU) == counted
    assert _profiled_peak(objective) == pytest.approx(counted, rel=0.03)


def _profiled_peak(objective: str) -> int:
    from torch.profiler import ProfilerActivity, profile

    from benchmarks.subjects import Training, images_for

    training = Training(varied(f"edm-{objective}-seed0", "unet-tiny", 64), images_for("unet-tiny"), CPU)
    training.step()
    batch = training.batches.at(0)
    held = sum(tensor.nbytes for tensor in training.state.tensors().values())
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as profiler:
        training.step_with(batch)
    events = [event for event in profiler.profiler.kineto_results.events() if event.name() == "[memory]"]
    live = peak = 0
    for event in sorted(events, key=lambda event: event.start_ns()):
        live += event.nbytes()
        peak = max(peak, live)
    return held + peak
