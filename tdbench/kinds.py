"""Settings whose class is named by their key ``kind``, from a registry that plug-ins may add to."""

from collections.abc import Mapping
from typing import Any

from pydantic import BeforeValidator

from tdbench.names import did_you_mean
from tdbench.parameters import Parameters


def one_of(known: Any, what: str) -> BeforeValidator:
    """Refuse what is not among the names ``known``, and list them."""

    def check(value: Any) -> Any:
        if value not in list(known):
            raise ValueError(f"no such {what}{did_you_mean(value, known)}; known: {', '.join(known)}")
        return value

    return BeforeValidator(check)


def of_kind(registry: Mapping[str, type[Parameters]], what: str) -> BeforeValidator:
    """A mapping with ``kind``, or the bare kind, becomes an object of the class registered under it."""

    def build(value: Any) -> Any:
        if isinstance(value, Parameters):
            return value
        block = {"kind": value} if isinstance(value, str) else value
        if not isinstance(block, dict) or not isinstance(block.get("kind"), str):
            raise ValueError(f"a {what} is a kind ({', '.join(registry)}) or a mapping with one")
        if block["kind"] not in registry:
            near = did_you_mean(block["kind"], registry)
            raise ValueError(f"kind {block['kind']!r}: no such {what}{near}; known: {', '.join(registry)}")
        return registry[block["kind"]].model_validate(block)

    return BeforeValidator(build)


def kind_from_name(block: Any) -> Any:
    """``{edm: {}}`` means ``{edm: {kind: edm}}``."""
    if not isinstance(block, dict):
        return block
    filled = {name: {} if value is None else value for name, value in block.items()}
    return {n: {"kind": n, **v} if isinstance(v, dict) else v for n, v in filled.items()}
