"""Validation and its messages: names that a user typed, settings, and records in files."""

import difflib
import re
from collections.abc import Iterable
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from tdbench.errors import printable


def did_you_mean(typed: object, known: Iterable[str]) -> str:
    """Return `` (did you mean 'edm'?)``, or an empty text if no known name is close."""
    names = list(map(str, known))
    by_small_letters, text = {name.lower(): name for name in names}, str(typed).lower()[:200]
    found = difflib.get_close_matches(text, by_small_letters, n=1, cutoff=0.6)
    # In a short name, two swapped letters are too large a share for the cutoff above.
    found = found or [name for name in by_small_letters if sorted(name) == sorted(text)]
    return f" (did you mean {by_small_letters[found[0]]!r}?)" if found else ""


def same_but_for_case(names: Iterable[str]) -> tuple[str, str] | None:
    """Return two names that are equal or differ only in case, or None."""
    seen: dict[str, str] = {}
    for name in names:
        if (key := name.casefold()) in seen:
            return seen[key], name
        seen[key] = name
    return None


_FIRST, _LAST = 2000, 9000  # years; no calendar has more


def _moment(text: str) -> str:
    if not _FIRST <= datetime.fromisoformat(text).year <= _LAST:
        raise ValueError("expected a time such as 2026-01-31T12:00:00+00:00")
    return text


Timestamp = Annotated[str, AfterValidator(_moment)]
Checksum = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
Count = Annotated[int, Field(ge=0, le=10**15)]
Seconds = Annotated[float, Field(ge=0, le=1e11)]


class Record(BaseModel):
    """A block of JSON that tdbench writes, with strict types and finite numbers only.

    Unknown fields are ignored, because a later version may have written them.
    """

    model_config = ConfigDict(strict=True, frozen=True, allow_inf_nan=False)

    def to_json(self) -> Any:
        """Return the content for JSON, without the fields that were not set."""
        return self.model_dump(mode="json", exclude_unset=True)


class Refused:
    """A wrapper that every type rejects. In messages it looks like the value that the user wrote."""

    def __init__(self, value: Any) -> None:
        self._value = value

    def __repr__(self) -> str:
        return repr(self._value)


class Unknown(Refused):
    """The value of an unknown key.

    Attributes
    ----------
    known : tuple of str
        The known keys of its block.
    """

    def __init__(self, value: Any, known: tuple[str, ...]) -> None:
        super().__init__(value)
        self.known = known


SHOWN = 60
"""Longest part of a key that a message shows, in characters."""


def explain(where: Path | str, content: Any, error: ValidationError) -> list[str]:
    """Return one line per mistake, with file, key, value and what is allowed."""
    mistakes = error.errors()
    # pydantic also calls a list too short if it rejects all its items; leave that error out.
    below = [e["loc"][:depth] for e in mistakes for depth in range(len(e["loc"]))]
    shown = [e for e in mistakes if e["type"] != "too_short" or e["loc"] not in below]
    # A field of several types has one error per type; join them on one line.
    wanted: dict[str, dict[str, None]] = {}
    for e in shown:
        value = f"{e['input']!r:.60}: "
        for said in _all_said(e):
            about, alternative = (value, said.removeprefix(value)) if said.startswith(value) else (said, "")
            wanted.setdefault(f"{_key(content, e['loc'])}{about}", {})[alternative] = None
    return [f"{where}: {about}{', or '.join(alternatives)}" for about, alternatives in wanted.items()]


def _all_said(error: Any) -> list[str]:
    """Return the texts of an error; the check of a block may find several mistakes."""
    found = (error.get("ctx") or {}).get("error")
    return list(found.mistakes) if isinstance(found, Mistakes) else [plain(error)]


class Mistakes(ValueError):
    """Several mistakes that a check of a block found, one line each with key and value."""

    def __init__(self, mistakes: list[str]) -> None:
        super().__init__("; ".join(mistakes))
        self.mistakes = mistakes


def _key(content: Any, location: tuple[int | str, ...]) -> str:
    """Return the dotted key of an error, without the parts that pydantic adds for unions and key checks."""
    parts, block = [], content
    for i, part in enumerate(location):
        if part == "[key]":
            continue
        inside = part in block if isinstance(block, dict) else isinstance(block, list) and isinstance(part, int)
        if inside:
            present = isinstance(block, dict) or (isinstance(part, int) and part < len(block))
            block = block[part] if present else None
        if inside or (i == len(location) - 1 and isinstance(block, dict | list)):
            parts.append(printable(str(part))[:SHOWN])
    return f"{'.'.join(parts)}: " if parts else ""


def plain(error: Any) -> str:
    """Return the value and what is allowed, for one pydantic error."""
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
    # A whole block is too long to repeat; its checks already name the key and the value.
    return message if isinstance(value, (dict, BaseModel)) else f"{value!r:.60}: {message}"
