"""Formats rows for the terminal and for benchmarks/measured.md."""

from pathlib import Path
from typing import Any

from benchmarks.groups import GROUPS
from benchmarks.measure import Row
from tdbench.errors import TdbenchError
from tdbench.runtime.files import write_text

COMMAND = "python -m benchmarks"
BEGIN, END = f"<!-- written by {COMMAND} -->", f"<!-- end of what {COMMAND} writes -->"


def number(value: float) -> str:
    """Format a ratio: three decimals, more if it is very close to 1, two digits if it is small."""
    if value < 0.01:
        return f"{value:.1e}"
    return f"{value:.6f}" if 0 < abs(value - 1) < 5e-4 else f"{value:.3f}"


def spread(row: Row) -> str:
    """Return the spread of the ratio, such as ``1.301–1.322``."""
    return "" if row.spread == "counted" else f"{number(row.low)}–{number(row.high)}"


def target(row: Row) -> str:
    """Return the target of the project and whether it is met."""
    if row.at_most is None:
        return ""
    return f"≤ {row.at_most:g}{', missed' if row.missed else ''}"


def seconds(row: Row) -> str:
    """Return both times in milliseconds."""
    return "" if row.seconds is None else " / ".join(f"{1000 * value:.4g}" for value in row.seconds)


def as_text(row: Row) -> str:
    """Return a row as one line of text."""
    told = [f"{row.name}: {number(row.ratio)}", f"[{spread(row)}]" if spread(row) else "", target(row)]
    told += [f"{seconds(row)} ms" if row.seconds else "", row.note]
    return "  ".join(part for part in told if part)


def as_markdown(rows: list[Row], facts: dict[str, Any]) -> str:
    """Return the table with a line per group, and its origin."""
    lines = [
        _origin(facts),
        "",
        "| figure | ratio | spread | target | ms / ms | n | |",
        "|---|---|---|---|---|---|---|",
    ]
    for group, (title, _) in GROUPS.items():
        own = [row for row in rows if row.group == group]
        lines += [f"| **{title}** | | | | | | |"] if own else []
        for row in own:
            ratio = f"**{number(row.ratio)}**" if row.missed else number(row.ratio)
            cells = [row.name, ratio, spread(row), target(row), seconds(row), str(row.repeats), row.note]
            lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def _origin(facts: dict[str, Any]) -> str:
    hardware, origin = facts["hardware"], facts["provenance"]
    place = f"{hardware['device']} ({hardware['model']}, {hardware['vector_instructions']}"
    place += f"{', bfloat16 in hardware' if hardware['native_bf16'] else ''}), {hardware['threads']} thread(s)"
    versions = origin["versions"]
    made = f"commit {origin['git_commit'][:12]}{'-dirty' if origin['git_commit'].endswith('-dirty') else ''}"
    quick = "; **a quick run: do not use these figures**" if facts["quick"] else ""
    return (
        f"On {place}; torch {versions['torch']}, diffusers {versions['diffusers']}, {made}, "
        f"{origin['written_at'][:10]}, {facts['seconds'] / 60:.1f} minutes{quick}."
    )


def write_between_markers(path: Path, text: str, command: str = COMMAND) -> None:
    """Replace the text between the markers of a command.

    Raises
    ------
    TdbenchError
        If the file does not have both, in that order.
    """
    begins, ends = BEGIN.replace(COMMAND, command), END.replace(COMMAND, command)
    try:
        content = path.read_text(encoding="utf-8")
    except OSError as error:
        raise TdbenchError(f"{path}: cannot be read ({error.strerror}); give a file with the markers") from error
    before, begin, rest = content.partition(begins)
    _, end, after = rest.partition(ends)
    if not (begin and end):
        raise TdbenchError(f"{path}: the lines {begins!r} and {ends!r} are missing; the table goes between them")
    write_text(path, f"{before}{begins}\n{text}\n{ends}{after}")
