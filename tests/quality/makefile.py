"""What a target of the Makefile runs, read from its text: no process is started."""

import re
import shlex
from typing import NamedTuple

from tests.conftest import ROOT


class Rule(NamedTuple):
    """A target's prerequisites and the lines of its recipe."""

    prerequisites: list[str]
    recipe: list[str]


def commands(target: str) -> list[list[str]]:
    """The commands of a target and of the targets that it needs, word by word, without those of ``install``."""
    text = (ROOT / "Makefile").read_text().replace("\\\n", " ")
    variables = dict(re.findall(r"^(\w+) *[:?]?= *(.*)$", text, re.MULTILINE))
    return _commands(target, _rules(text, variables), variables)


def _rules(text: str, variables: dict[str, str]) -> dict[str, Rule]:
    found: dict[str, Rule] = {}
    current: list[str] = []
    for line in text.splitlines():
        if line.startswith("\t"):
            current.append(line.strip().lstrip("@-+"))
        elif heading := re.match(r"([\w-]+) *:(?!=)([^#]*)", line):
            current = []
            found[heading[1]] = Rule(_expanded(heading[2], variables).split(), current)
    return found


def _commands(target: str, rules: dict[str, Rule], variables: dict[str, str]) -> list[list[str]]:
    if target == "install":
        return []
    found = [command for name in rules[target].prerequisites for command in _commands(name, rules, variables)]
    for line in rules[target].recipe:
        words = shlex.split(_expanded(line, variables))
        if words[0] == "$(MAKE)":
            targets = [word for word in words[1:] if word in rules]
            found += [command for name in targets for command in _commands(name, rules, variables)]
        else:
            found.append(words)
    return found


def _expanded(text: str, variables: dict[str, str]) -> str:
    """With the values of the Makefile's own variables in place of their names."""
    while (expanded := re.sub(r"\$\((\w+)\)", lambda name: variables.get(name[1], name[0]), text)) != text:
        text = expanded
    return text
