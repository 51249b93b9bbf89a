"""Bad inputs made from good ones: bytes cut, flipped and forged, values of JSON exchanged for what nobody expects."""

import copy
import json
import struct
from collections.abc import Iterator
from typing import Any

from hypothesis import strategies as st

FORGED = (0, 1, 0x7F, 0xFF, 0x7FFF, 0xFFFF, 0x7FFFFFFF, 0xFFFFFFFF, 0x7FFFFFFFFFFFFFFF, 0xFFFFFFFFFFFFFFFF)
"""Lengths, offsets and counts as a forger writes them."""

DEEP = "\0deep\0"
ENDLESS = "\0endless\0"
"""RunStatus for what `json.dumps` does not write: 5,000 lists in each other, and a number of 5,000 digits."""

ODD: list[Any] = [
    None,
    True,
    False,
    0,
    -1,
    1,
    3,
    10**30,
    -(10**30),
    1e308,
    -1e308,
    5e-324,
    float("nan"),
    float("inf"),
    0.5,
    "",
    "a",
    "\0",
    "\x1b[2J",
    "two\nlines",
    "\ud800",
    "é\u202e",
    "../../../etc/passwd",
    "/dev/zero",
    "~",
    "=1+1",
    "$(touch x)",
    "x" * 3_000,
    [],
    {},
    [[]],
    [None],
    {"": None},
    {"kind": "nothing"},
    [0] * 300,
    DEEP,
    ENDLESS,
]


def mutate(draw: st.DrawFn, content: bytes) -> bytes:
    """One edit somewhere in ``content``, more often near its ends, where headers and directories are."""
    if not content:
        return draw(st.binary(max_size=64))
    size = len(content)
    at = draw(
        st.one_of(
            st.integers(0, size - 1), st.integers(0, min(size - 1, 100)), st.integers(max(0, size - 200), size - 1)
        )
    )
    kind = draw(st.sampled_from(["flip", "flips", "forge", "cut", "drop", "repeat", "insert", "zero", "swap"]))
    length = draw(st.integers(1, 64))
    if kind == "flip":
        return content[:at] + bytes([content[at] ^ 1 << draw(st.integers(0, 7))]) + content[at + 1 :]
    if kind == "flips":
        return content[:at] + bytes(b ^ 0xFF for b in content[at : at + length]) + content[at + length :]
    if kind == "forge":
        form = draw(st.sampled_from(["<H", "<I", "<Q", ">I"]))
        number = struct.pack(form, draw(st.sampled_from(FORGED)) & (2 ** (8 * struct.calcsize(form)) - 1))
        return content[:at] + number + content[at + len(number) :]
    if kind == "cut":
        return content[:at]
    if kind == "drop":
        return content[:at] + content[at + length :]
    if kind == "repeat":
        return content[:at] + content[at : at + length] * draw(st.integers(2, 20)) + content[at + length :]
    if kind == "insert":
        return content[:at] + draw(st.binary(min_size=1, max_size=64)) + content[at:]
    if kind == "zero":
        return content[:at] + bytes(length) + content[at + length :]
    return content[at:] + content[:at]


@st.composite
def damaged(draw: st.DrawFn, content: bytes) -> bytes:
    """``content`` after one to four edits; never as it was."""
    found = content
    for _ in range(draw(st.sampled_from([1, 1, 1, 2, 4]))):
        found = mutate(draw, found)
    return found if found != content else content[:-1]


@st.composite
def altered(draw: st.DrawFn, content: Any) -> Any:
    """A structure of dicts and lists in which one to three values are missing, odd, or someplace else."""
    found = copy.deepcopy(content)
    for _ in range(draw(st.sampled_from([1, 1, 1, 2, 3]))):
        places = [*_places(found)]
        if not places:
            return draw(st.sampled_from(ODD))
        block, key = places[draw(st.integers(0, len(places) - 1))]
        kind = draw(st.sampled_from(["odd", "odd", "odd", "remove", "move", "number", "text"]))
        if kind == "remove":
            del block[key]
        elif kind == "move":
            other, its = places[draw(st.integers(0, len(places) - 1))]
            block[key] = copy.deepcopy(other[its])
        elif kind == "number":
            block[key] = draw(st.one_of(st.integers(), st.floats()))
        elif kind == "text":
            block[key] = draw(st.text(max_size=20))
        else:
            block[key] = copy.deepcopy(draw(st.sampled_from(ODD)))
    return found


def _places(block: Any) -> Iterator[tuple[Any, Any]]:
    """Every value inside of a structure, as the block that holds it and its key there."""
    inner = block.items() if isinstance(block, dict) else enumerate(block) if isinstance(block, list) else ()
    for key, value in inner:
        yield block, key
        yield from _places(value)


def written(content: Any) -> bytes:
    """A structure as JSON, with what JSON forbids but Python reads, and lone surrogates as escapes."""
    text = json.dumps(content)
    text = text.replace(json.dumps(DEEP), "[" * 5_000 + "]" * 5_000).replace(json.dumps(ENDLESS), "9" * 5_000)
    return text.encode()


@st.composite
def bad_json(draw: st.DrawFn, content: Any) -> bytes:
    """A file of JSON: of another structure, with a key twice, or with damaged bytes."""
    text = written(draw(altered(content)))
    kind = draw(st.sampled_from(["", "", "", "", "bytes", "twice"]))
    if kind == "bytes":
        return draw(damaged(text))
    if kind == "twice" and text.startswith(b"{") and isinstance(content, dict) and content:
        key = draw(st.sampled_from(sorted(content)))
        odd = written(draw(st.sampled_from(ODD)))
        return b"{%s: %s, " % (json.dumps(key).encode(), odd) + text[1:]
    return text
