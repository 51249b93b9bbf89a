"""The measurements run, and what they count is so; how fast anything is, is not tested here."""

import itertools
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch._C._profiler import _EventType
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.profiler import ProfilerActivity, profile

from benchmarks import measure
from benchmarks.groups import GROUPS
from benchmarks.live_bytes import LiveBytes
from benchmarks.measure import Bench, alternate, exact
from benchmarks.memory import counted_peak
from benchmarks.subjects import EXACT, Training, images_for, varied
from benchmarks.table import BEGIN, END, as_text, write_between_markers
from tdbench.errors import TdbenchError
from tests.conftest import ROOT

CPU = torch.device("cpu")


@pytest.mark.slow
def test_every_group_gives_ratios_with_their_origin(tmp_path: Path) -> None:
    document, figures, picture = tmp_path / "page.md", tmp_path / "all.json", tmp_path / "all.png"
    document.write_text(f"before\n{BEGIN}\nold\n{END}\nafter\n")
    command = [sys.executable, "-m", "benchmarks", "--quick", "--device", "cpu"]
    files = ["--json", str(figures), "--figure", str(picture), "--markdown", str(document)]
    done = subprocess.run([*command, *files], cwd=ROOT, capture_output=True, text=True, timeout=600, check=False)
    assert done.returncode == 0, done.stderr
    content = json.loads(figures.read_text())
    assert content["quick"] and content["hardware"]["threads"] == 1 and content["provenance"]["git_commit"]
    assert {row["group"] for row in content["rows"]} == set(GROUPS)
    for row in content["rows"]:
        assert row["ratio"] > 0 or row["kind"] == "error", row
        assert row["low"] <= row["high"] and row["repeats"] >= 1, row
        assert row["name"] in document.read_text() and row["name"] in done.stdout
    assert document.read_text().startswith("before\n") and document.read_text().endswith("after\n")
    assert picture.stat().st_size > 10_000


def test_a_file_without_markers_is_named(tmp_path: Path) -> None:
    path = tmp_path / "page.md"
    path.write_text("nothing to fill\n")
    with pytest.raises(TdbenchError, match=rf"{path}: the lines .* are missing"):
        write_between_markers(path, "table")
    assert path.read_text() == "nothing to fill\n"


def test_a_ratio_is_the_work_over_its_reference(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 0.0

    def taking(*seconds: float) -> Callable[[], None]:
        times = itertools.cycle(seconds)

        def work() -> None:
            nonlocal now
            now += next(times)

        return work

    monkeypatch.setattr(measure.time, "perf_counter", lambda: now)
    works = {"thrice": taking(3.0), "unsteady": taking(1.0, 2.0)}
    thrice, unsteady = alternate(Bench(CPU), works, taking(1.0), 4)
    assert (thrice.ratio, thrice.low, thrice.high, thrice.seconds) == (3, 3, 3, (3, 1))
    assert (unsteady.ratio, unsteady.low, unsteady.high, unsteady.repeats) == (1.5, 1, 2, 4)


def test_a_missed_target_is_said() -> None:
    assert "≤ 1.1, missed" in as_text(exact("a", "memory", 1.2, at_most=1.1))
    assert "missed" not in as_text(exact("a", "memory", 1.1, at_most=1.1))


def test_live_bytes_of_a_small_graph() -> None:
    with LiveBytes() as counter:
        a = torch.zeros(1000)  # 4,000 bytes
        b = a + 1
        assert (counter.live, counter.peak) == (8000, 8000)
        view = b[:10]
        del b
        assert counter.live == 8000  # the view holds it
        del view
        assert (counter.live, counter.peak) == (4000, 8000)


@pytest.mark.slow
@pytest.mark.parametrize("objective", ["baseline", "td"])
def test_fake_tensors_hold_as_much_as_real_ones(objective: str) -> None:
    run = varied(f"edm-{objective}-seed0", "unet-tiny", 64, **EXACT)
    assert counted_peak(run, CPU, FakeTensorMode(allow_non_fake_inputs=True)) == counted_peak(run, CPU)


def test_the_count_is_what_the_allocator_gives() -> None:
    """PyTorch's profiler sees every allocation on the CPU, those inside of operations too."""
    run = varied("edm-td-seed0", "unet-tiny", 256, **EXACT)
    training = Training(run, images_for("unet-tiny"), CPU)
    batch, state = training.batches.at(0), training.state
    training.step_with(batch)
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as profiler:
        training.step_with(batch)
    assert state.target is not None and profiler.profiler is not None and profiler.profiler.kineto_results is not None
    live = peak = 0
    events = _flat(profiler.profiler.kineto_results.experimental_event_tree())
    for event in sorted((e for e in events if e.tag == _EventType.Allocation), key=lambda e: e.start_time_ns):
        live += event.extra_fields.alloc_size
        peak = max(peak, live)
    before = sum(t.nbytes for t in state.tensors().values()) + sum(t.nbytes for t in batch if t is not None)
    assert counted_peak(run, CPU) == pytest.approx(before + peak, rel=0.05)


def _flat(events: list) -> list:  # type: ignore[type-arg]
    return [found for event in events for found in (event, *_flat(event.children))]
