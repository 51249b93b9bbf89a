"""Reading YAML and saying what is wrong with it: file, key, value and what is allowed, a line a mistake."""

import re
import warnings
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError
from ruamel.yaml import YAML
from ruamel.yaml.constructor import ConstructorError, SafeConstructor
from ruamel.yaml.error import MarkedYAMLError, ReusedAnchorWarning, YAMLError
from ruamel.yaml.nodes import ScalarNode

from tdbench.errors import TdbenchError, printable
from tdbench.names import did_you_mean
from tdbench.parameters import Unknown

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
            reader = YAML(typ="safe", pure=True)
            reader.Constructor = _Constructor
            content = reader.load(_text(path))
        if not isinstance(content, dict):
            raise TdbenchError(
                f"{path}: an experiment is a mapping of keys (name, datasets, ...), not {type(content).__name__}"
            )
        _count(path, content, {}, 0)
        _check_keys(f"{path}", content)
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


class _Constructor(SafeConstructor):
    """Refuses 000, which is what 50,000 ends in where a comma parts entries."""

    def construct_yaml_int(self, node: ScalarNode) -> Any:
        if re.fullmatch(r"[-+]?0\d[\d_]*", node.value):
            said = f"{node.value}: a number with a leading zero; {_COMMA}"
            raise ConstructorError(None, None, said, node.start_mark)
        return super().construct_yaml_int(node)


_COMMA = "in [ ] and { } a comma ends an entry, so write 50000 or 50_000 for 50,000"
_Constructor.add_constructor("tag:yaml.org,2002:int", _Constructor.construct_yaml_int)


def _check_keys(where: str, block: Any) -> None:
    """Refuse keys that are no text, such as the 500 of ``{images: 50,500}``."""
    if isinstance(block, dict):
        for key, value in block.items():
            if not isinstance(key, str):
                raise TdbenchError(f"{where}: {key!r:.60}: a key is a text, not {type(key).__name__}; {_COMMA}")
            _check_keys(f"{where}: {key[:_SHOWN]}", value)
    elif isinstance(block, list):
        for part in block:
            _check_keys(where, part)


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
    # Of a field that takes several types each says what it would take: one line for all of them.
    wanted: dict[str, dict[str, None]] = {}
    for e in shown:
        value = f"{e['input']!r:.60}: "
        for said in _all_said(e):
            about, alternative = (value, said.removeprefix(value)) if said.startswith(value) else (said, "")
            wanted.setdefault(f"{_key(content, e['loc'])}{about}", {})[alternative] = None
    return [f"{where}: {about}{', or '.join(alternatives)}" for about, alternatives in wanted.items()]


def _all_said(error: Any) -> list[str]:
    """What an error says: a check of a whole block may have found several mistakes."""
    found = (error.get("ctx") or {}).get("error")
    return list(found.mistakes) if isinstance(found, Mistakes) else [plain(error)]


class Mistakes(ValueError):
    """What a check of a block found: a line each, which names key and value."""

    def __init__(self, mistakes: list[str]) -> None:
        super().__init__("; ".join(mistakes))
        self.mistakes = mistakes


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
        if inside or (i == len(location) - 1 and isinstance(block, dict | list)):
            parts.append(printable(str(part))[:_SHOWN])
    return f"{'.'.join(parts)}: " if parts else ""


def plain(error: Any) -> str:
    """The value and what is allowed, of one of pydantic's errors."""
    context, kind, value = error.get("ctx") or {}, error["type"], error["input"]
    if kind == "missing":
        return "is missing; it has no default"
    if kind == "extra_forbidden":
        known = value.known if isinstance(value, Unknown) else ()
        near = did_you_mean(error["loc"][-1] if error["loc"] else "", known)
        listed = f"; known here: {', '.join(known)}" if known and not near else ""
        return f"{value!r:.60}: unknown key{near}{listed}"
    if kind == "union_tag_invalid":
        near = did_you_mean(context["tag"], re.findall(r"'([^']+)'", context["expected_tags"]))
        return f"kind {context['tag']!r}: must be one of {context['expected_tags']}{near}"
    if kind == "tuple_type":
        return f"{value!r:.60}: should be a list, such as [{value!s:.60}]"
    message = error["msg"].removeprefix("Value error, ").replace("Input should", "should")
    if isinstance(value, str) and re.fullmatch(r"\d{1,3}(,\d{3})+", value):
        message = f"{message}; write {value.replace(',', '')} or {value.replace(',', '_')}"
    # Whole blocks are not worth repeating; their checks name the keys and values themselves.
    return message if isinstance(value, (dict, BaseModel)) else f"{value!r:.60}: {message}"
