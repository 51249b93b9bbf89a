"""The files of a crate and the commands that made them."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from tdbench.errors import TdbenchError
from tdbench.reporting.crate.activities import Activity


class Member(NamedTuple):
    """A file of a crate."""

    content: Path | bytes
    description: str


@dataclass
class Contents:
    """The content of a crate, and what it lacks."""

    results: Path
    options: frozenset[str]
    """The options of `tdbench export` that select large files."""
    members: dict[str, Member] = field(default_factory=dict)
    """Path in the crate -> file."""
    activities: list[Activity] = field(default_factory=list)
    left_out: dict[str, dict[Path, int]] = field(default_factory=dict)
    """Option that would pack them -> file -> bytes."""
    missing: dict[str, str] = field(default_factory=dict)
    """Name of an unfinished run -> error message of its first stage that is not finished."""
    main_workflow: str | None = None
    """Path in the crate of the Snakefile that ran the experiment, if it is packed."""

    def name(self, path: Path) -> str:
        """Path in the crate of a file of the results."""
        return path.relative_to(self.results).as_posix()

    def add(self, path: Path, description: str, made_by: str) -> str:
        """Add a file of the results, which the command ``made_by`` writes; returns its path in the crate."""
        if not path.is_file():
            raise TdbenchError(f"{path}: no such file; `{made_by}` writes it")
        self.members[self.name(path)] = Member(path, description)
        return self.name(path)

    def add_large(self, path: Path, description: str, made_by: str, option: str) -> list[str]:
        """Add a file if ``option`` was chosen; otherwise record its size if it exists."""
        if option in self.options:
            return [self.add(path, description, made_by)]
        if path.is_file():
            self.left_out.setdefault(option, {})[path] = path.stat().st_size
        return []

    def add_json(self, name: str, content: Any, description: str) -> str:
        self.members[name] = Member((json.dumps(content, indent=1, allow_nan=False) + "\n").encode(), description)
        return name

    @property
    def commits(self) -> list[str]:
        """Commits of the code that made the results, in the order of their first use."""
        return list(dict.fromkeys(origin.git_commit for made in self.activities for origin in made.origins))


@contextmanager
def keys_of(made_by: str) -> Iterator[None]:
    """Convert errors in files that the command ``made_by`` writes into a `TdbenchError` that names it."""
    try:
        yield
    except FileNotFoundError as error:
        raise TdbenchError(f"{error.filename}: no such file; `{made_by}` writes it") from error
    except (LookupError, TypeError, AttributeError, UnicodeDecodeError) as error:
        said = f"{type(error).__name__}: {error}"
        raise TdbenchError(
            f"the files that `{made_by}` writes are damaged or of another version ({said}); run it again"
        ) from error
