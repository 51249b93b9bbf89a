"""Fenced blocks of the documentation, and the commands in them."""

import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from tests.conftest import ROOT

SHELL = ("", "sh", "bash")
"""Languages of blocks of commands; one without a name is meant as one."""
_FENCE = re.compile(r"^(?P<fence>```+)(?P<language>[^\n`]*)\n(?P<text>.*?)^(?P=fence) *$", re.MULTILINE | re.DOTALL)
VARIABLE = re.compile(r"[A-Z_][A-Z0-9_]*=.*")


class Block(NamedTuple):
    """What stands between two fences."""

    file: str
    line: int
    language: str
    text: str

    @property
    def where(self) -> str:
        return f"{self.file}:{self.line}"


class Command(NamedTuple):
    """A command as a reader would type it; ``text`` has neither its comment nor the path of the environment."""

    where: str
    text: str

    @property
    def words(self) -> list[str]:
        """Without the variables that are set before it."""
        words = shlex.split(self.text)
        while words and VARIABLE.fullmatch(words[0]):
            words = words[1:]
        return words


def pages() -> list[Path]:
    """Every page that people read."""
    return [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]


def blocks() -> Iterator[Block]:
    """All fenced blocks, in order."""
    for path in pages():
        text = path.read_text()
        for found in _FENCE.finditer(text):
            line = text.count("\n", 0, found.start()) + 1
            yield Block(str(path.relative_to(ROOT)), line, found["language"].strip(), found["text"])


def commands() -> list[Command]:
    """The commands of all shell blocks, each once, in order."""
    found: dict[str, Command] = {}
    for block in blocks():
        if block.language in SHELL:
            for line in block.text.replace("\\\n", " ").splitlines():
                text = _plain(line)
                if text:
                    found.setdefault(text, Command(block.where, text))
    return list(found.values())


def _plain(line: str) -> str:
    """A line without prompt, comment and the path of the environment, with single spaces outside quotes."""
    line = line.strip().removeprefix("$ ").replace(".venv/bin/", "")
    lexer = shlex.shlex(line, posix=False, punctuation_chars=False)
    lexer.whitespace_split = True
    return " ".join(lexer)
