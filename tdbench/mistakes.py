"""Reading YAML and saying what is wrong with it: file, key, value and what is allowed, a line a mistake."""

from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError
from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, YAMLError

from tdbench.errors import TdbenchError


def read_yaml(path: Path) -> dict[str, Any]:
    """The mapping that a YAML 1.2 file holds; a key named twice is an error."""
    try:
        content = YAML(typ="safe", pure=True).load(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise TdbenchError(f"{path}: no such experiment file") from error
    except (OSError, UnicodeDecodeError) as error:
        raise TdbenchError(f"{path}: cannot be read ({error})") from error
    except MarkedYAMLError as error:
        mark = error.problem_mark
        place = f" at line {mark.line + 1}, column {mark.column + 1}" if mark else ""
        raise TdbenchError(f"{path}: not valid YAML{place}: {str(error.problem).splitlines()[0]}") from error
    except YAMLError as error:
        raise TdbenchError(f"{path}: not valid YAML: {str(error).splitlines()[0]}") from error
    if not isinstance(content, dict):
        raise TdbenchError(
            f"{path}: an experiment is a mapping of keys (name, datasets, ...), not {type(content).__name__}"
        )
    return content


def explain(where: Path | str, content: Any, error: ValidationError) -> str:
    """One line a mistake: file, key, value, what is allowed."""
    mistakes = error.errors()
    # A list whose items are all refused is "too short" as well; that says nothing new.
    below = [e["loc"][:depth] for e in mistakes for depth in range(len(e["loc"]))]
    shown = [e for e in mistakes if e["type"] != "too_short" or e["loc"] not in below]
    return "\n".join(f"{where}: {_key(content, e['loc'])}{plain(e)}" for e in shown)


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
            parts.append(str(part))
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
        return f"{value!r:.60}: should be a list, such as [{value}]"
    message = error["msg"].removeprefix("Value error, ").replace("Input should", "should")
    # Whole blocks are not worth repeating; their checks name the keys and values themselves.
    return message if isinstance(value, (dict, BaseModel)) else f"{value!r:.60}: {message}"
