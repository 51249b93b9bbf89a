"""``python -m benchmarks``: measures tdbench and writes one table of ratios."""

import sys
import time
from collections.abc import Iterator
from dataclasses import asdict, replace
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import torch
import typer

from benchmarks.figure import draw
from benchmarks.groups import GROUPS
from benchmarks.measure import Bench, Row
from benchmarks.table import as_markdown, as_text, write_between_markers
from tdbench.errors import TdbenchError
from tdbench.runtime.device import choose_device, describe_hardware, native_bf16
from tdbench.runtime.files import write_json
from tdbench.runtime.progress import say
from tdbench.runtime.provenance import provenance

Group = StrEnum("Group", {name: name for name in GROUPS})


class Device(StrEnum):
    """Where it is measured."""

    AUTO = "auto"
    CPU = "cpu"
    CUDA = "cuda"


def main(
    quick: Annotated[
        bool, typer.Option("--quick", help="Only check that it works; the figures are not reliable.")
    ] = False,
    only: Annotated[list[Group] | None, typer.Option(help="Group to measure; may be repeated.")] = None,
    device: Annotated[Device, typer.Option(help="Device to measure on.")] = Device.AUTO,
    threads: Annotated[int, typer.Option(min=1, help="CPU threads.")] = 1,
    json_file: Annotated[Path | None, typer.Option("--json", help="Write all figures to this file.")] = None,
    figure: Annotated[Path | None, typer.Option(help="Write the picture to this .png or .svg file.")] = None,
    markdown: Annotated[Path | None, typer.Option(help="Write the table between the markers in this file.")] = None,
) -> None:
    """Measure tdbench: each figure is a ratio to a reference that ran in the same process in alternation."""
    begun, bench = time.monotonic(), Bench(choose_device(device.value, threads), quick)
    facts: dict[str, Any] = {"quick": quick, "provenance": provenance().to_json(), "hardware": _hardware(bench.device)}
    rows = list(_measure(bench, [group.value for group in only] if only else list(GROUPS)))
    facts["seconds"] = time.monotonic() - begun
    if json_file is not None:
        write_json(json_file, facts | {"rows": [asdict(row) | {"missed": row.missed} for row in rows]})
    if figure is not None:
        draw(rows, figure)
    table = as_markdown(rows, facts)
    if markdown is not None:
        write_between_markers(markdown, table)
    typer.echo(table)


def _measure(bench: Bench, groups: list[str]) -> Iterator[Row]:
    """Measure groups and yield their rows; each is printed as soon as it is measured."""
    for place, group in enumerate(groups, 1):
        begun, (title, measure) = time.monotonic(), GROUPS[group]
        say(f"[{place}/{len(groups)}] {group}: {title}")
        for row in measure(bench):
            say(f"    {as_text(row)}")
            yield replace(row, group=group)
        say(f"    {time.monotonic() - begun:.0f} s")


def _hardware(device: torch.device) -> dict[str, Any]:
    """Return the fields of `describe_hardware`, and those that decide about number formats."""
    return describe_hardware(device).to_json() | {
        "model": _model(),
        "vector_instructions": torch.backends.cpu.get_cpu_capability(),
        "native_bf16": native_bf16(device),
    }


def _model() -> str:
    """Return the name of the processor, if the system provides it."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "unknown")


if __name__ == "__main__":
    try:
        typer.run(main)
    except TdbenchError as error:
        sys.exit(f"error: {error}")
