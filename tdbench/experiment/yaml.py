"""Reads YAML safely, with messages that name the file, the place and what is allowed."""

import re
import warnings
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.constructor import ConstructorError, SafeConstructor
from ruamel.yaml.error import MarkedYAMLError, ReusedAnchorWarning, YAMLError
from ruamel.yaml.nodes import ScalarNode

from tdbench.errors import TdbenchError
from tdbench.validation import SHOWN

Content = dict[str, Any]
"""Settings as parsed from YAML, before validation."""
LARGEST, DEEPEST, MOST = 2**20, 40, 100_000
"""Limits of an experiment file: bytes, nested blocks, and values after all aliases are expanded."""


def read_yaml(path: Path) -> Content:
    """Return the mapping in a YAML 1.2 file. A duplicate key is an error.

    Raises
    ------
    TdbenchError
        If it is missing, not YAML, not a mapping, or exceeds a limit.
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
        raise TdbenchError(f"{path}: more than {DEEPEST} nested blocks, or an alias to itself") from error
    except Exception as error:  # impossible values of a known tag: dates, numbers of 5,000 digits
        said = f"{type(error).__name__}: {_first_line(error)}"
        raise TdbenchError(f"{path}: not valid YAML: impossible value ({said})") from error
    return content


class _Constructor(SafeConstructor):
    """Rejects 000, which is the second entry if someone writes 50,000 in a list."""

    def construct_yaml_int(self, node: ScalarNode) -> Any:
        if re.fullmatch(r"[-+]?0\d[\d_]*", node.value):
            said = f"{node.value}: a number with a leading zero; {_COMMA}"
            raise ConstructorError(None, None, said, node.start_mark)
        return super().construct_yaml_int(node)


_COMMA = "in [ ] and { } a comma ends an entry, so write 50000 or 50_000 for 50,000"
_Constructor.add_constructor("tag:yaml.org,2002:int", _Constructor.construct_yaml_int)


def _check_keys(where: str, block: Any) -> None:
    """Reject keys that are not text, such as the 500 in ``{images: 50,500}``."""
    if isinstance(block, dict):
        for key, value in block.items():
            if not isinstance(key, str):
                raise TdbenchError(f"{where}: {key!r:.60}: a key must be text, not {type(key).__name__}; {_COMMA}")
            _check_keys(f"{where}: {key[:SHOWN]}", value)
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
    """Count the values of a block with all aliases expanded; a few lines can expand to billions.

    ``known`` has the counts of blocks by identity. 0 marks a block that is being counted: meeting it again means that
    it contains itself.
    """
    if not isinstance(block, dict | list | tuple | set):
        return 1
    if known.get(id(block)) == 0 or depth > DEEPEST:
        raise TdbenchError(f"{path}: more than {DEEPEST} nested blocks, or an alias to itself")
    if id(block) not in known:
        known[id(block)] = 0
        parts = [*block, *block.values()] if isinstance(block, dict) else list(block)
        total = 1 + sum(_count(path, part, known, depth + 1) for part in parts)
        if total > MOST:
            raise TdbenchError(f"{path}: aliases that stand for more than {MOST:,} values; write the values out")
        known[id(block)] = total
    return known[id(block)]


def _first_line(said: object) -> str:
    return (str(said).strip() or type(said).__name__).splitlines()[0][:200]
