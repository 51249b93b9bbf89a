"""Names that somebody typed: the one that was meant, and those that some disks would take for the same."""

import difflib
from collections.abc import Iterable


def did_you_mean(typed: object, known: Iterable[str]) -> str:
    """`` (did you mean 'edm'?)``, or nothing where no known name is near."""
    names = list(map(str, known))
    by_small_letters, text = {name.lower(): name for name in names}, str(typed).lower()[:200]
    found = difflib.get_close_matches(text, by_small_letters, n=1, cutoff=0.6)
    # Of short names, two letters in the wrong order are half of the name.
    found = found or [name for name in by_small_letters if sorted(name) == sorted(text)]
    return f" (did you mean {by_small_letters[found[0]]!r}?)" if found else ""


def same_but_for_case(names: Iterable[str]) -> tuple[str, str] | None:
    """Two names that differ in capital and small letters alone, or not at all; None where there are none."""
    seen: dict[str, str] = {}
    for name in names:
        if (key := name.casefold()) in seen:
            return seen[key], name
        seen[key] = name
    return None
