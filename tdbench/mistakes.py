"""Reading YAML and saying what is wrong with it: file, key, value and what is allowed, a line a mistake."""

import warnings
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError
from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, ReusedAnchorWarning, YAMLError

from tdbench.errors import TdbenchError, printable

LARGEST, DEEPEST, MOST = 2**20, 40, 100_000
"""Of an experiment file: bytes, blocks within blocks, and values once every alias is written out."""
_SHOWN = 60


def read_yaml(path: Path) -> dict[str, Any]:
    """The mapping that a YAML 1.2 file holds; a key named twice is an error.

    Raises
    ------
    TdbenchError
        If it is missing, no YAML, no mapping, or larger or deeper than any experiment.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", ReusedAnchorWarning)
            content = YAML(typ="safe", pure=True).load(_text(path))
        if not isinstance(content, dict):
            raise TdbenchError(
                f"{path}: an experiment is a mapping of keys (name, datasets, ...), not {type(content).__name__}"
            )
        _count(path, content, {}, 0)
    except TdbenchError:
        raise
    except FileNotFoundError as error:
        raise TdbenchError(f"{path}: no such experiment file") from error
    except (OSError, UnicodeDecodeError) as error:
        raise TdbenchError(f"{path}: cannot be read ({error})") from error
    except MarkedYAMLError as error:
        mark = error.problem_mark
        place = f" at line {mark.line + 1}, column {mark.column + 1}" if mark else ""
        raise TdbenchError(f"{path}: not valid YAML{place}: {_first_line(error.problem or error)}") from error
    except YAMLError as error:
        raise TdbenchError(f"{path}: not valid YAML: {_first_line(error)}") from error
    except ReusedAnchorWarning as error:
        raise TdbenchError(f"{path}: not valid YAML: {_first_line(error).strip()}") from error
    except RecursionError as error:
        raise TdbenchError(f"{path}: more than {DEEPEST} blocks within blocks, or an alias to itself") from error
    except Exception as error:  # scalars of a known tag that cannot be: dates, numbers of 5,000 digits
        said = f"{type(error).__name__}: {_first_line(error)}"
        raise TdbenchError(f"{path}: not valid YAML: a value that cannot be ({said})") from error
    return content


def _text(path: Path) -> str:
    with path.open("rb") as file:
        content = file.read(LARGEST + 1)
    if len(content) > LARGEST:
        raise TdbenchError(f"{path}: larger than {LARGEST:,} bytes; an experiment file is far smaller")
    return content.decode("utf-8")


def _count(path: Path, block: Any, known: dict[int, int], depth: int) -> int:
    """How many values a block holds with every alias written out, which a few lines can make billions.

    ``known``: of blocks by identity; 0 for one that is being counted, hence holds itself.
    """
    if not isinstance(block, dict | list | tuple | set):
        return 1
    if known.get(id(block)) == 0 or depth > DEEPEST:
        raise TdbenchError(f"{path}: more than {DEEPEST} blocks within blocks, or an alias to itself")
    if id(block) not in known:
        known[id(block)] = 0
        parts = [*block, *block.values()] if isinstance(block, dict) else list(block)
        total = 1 + sum(_count(path, part, known, depth + 1) for part in parts)
        if total > MOST:
            raise TdbenchError(f"{path}: aliases that stand for more than {MOST:,} values; write out what is meant")
        known[id(block)] = total
    return known[id(block)]


def _first_line(said: object) -> str:
    return (str(said).strip() or type(said).__name__).splitlines()[0][:200]


def explain(where: Path | str, content: Any, error: ValidationError) -> list[str]:
    """One line a mistake: file, key, value, what is allowed."""
    mistakes = error.errors()
    # A list whose items are all refused is "too short" as well; that says nothing new.
    below = [e["loc"][:depth] for e in mistakes for depth in range(len(e["loc"]))]
    shown = [e for e in mistakes if e["type"] != "too_short" or e["loc"] not in below]
    return [f"{where}: {_key(content, e['loc'])}{plain(e)}" for e in shown]


def _key(content: Any, location: tuple[int | str, ...]) -> str:
    """The dotted key of an error, without the steps that pydantic adds for unions and checks of keys."""
    parts, block = [], content
    for i, part in enumerate(location):
        if part == "[key]":
            continue
        inside = part in block if isinstance(block, dict) else isinstance(block, list) and isinstance(part, int)
        if inside:
            present = isinstance(block, dict) or (isinstance(part, int) and part < len(block))
            block = block[part] if present else None
        if inside or i == len(location) - 1:
            parts.append(printable(str(part))[:_SHOWN])
    return f"{'.'.join(parts)}: " if parts else ""


def plain(error: Any) -> str:
    """The value and what is allowed, of one of pydantic's errors."""
    context, kind, value = error.get("ctx") or {}, error["type"], error["input"]
    if kind == "missing":
        return "is missing; it has no default"
    if kind == "extra_forbidden":
        return f"{value!r:.60}: unknown key; look at workflow/experiments/digits.yaml for the known ones"
    if kind == "union_tag_invalid":
        return f"kind {context['tag']!r}: must be one of {context['expected_tags']}"
    if kind == "tuple_type":
        return f"{value!r:.60}: should be a list, such as [{value!s:.60}]"
    message = error["msg"].removeprefix("Value error, ").replace("Input should", "should")
    # Whole blocks are not worth repeating; their checks name the keys and values themselves.
    return message if isinstance(value, (dict, BaseModel)) else f"{value!r:.60}: {message}"
