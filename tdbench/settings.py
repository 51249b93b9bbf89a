"""Frozen, validated value objects: the base of every block of settings."""

from collections.abc import Mapping
from functools import cache
from typing import Any, Literal, get_args, get_origin

from pydantic import BaseModel, BeforeValidator, ConfigDict, model_validator

from tdbench.validation import Refused, Unknown, did_you_mean


class Parameters(BaseModel):
    """Base of all settings: validated, immutable, and strict about unknown keys."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", populate_by_name=True, allow_inf_nan=False, ser_json_inf_nan="constants"
    )

    @model_validator(mode="before")
    @classmethod
    def _reject_booleans_as_numbers(cls, content: Any) -> Any:
        """Reject booleans given as numbers, and numbers or words given as booleans.

        Python counts True as 1, and pydantic takes 1 and "yes" for True, so such a mistake would go unnoticed. The
        value of an unknown key also gets the list of known keys, because pydantic's error does not have it.
        """
        if not isinstance(content, dict):
            return content
        types = _types(cls)
        return {k: _as_refused(v, types[k]) if k in types else Unknown(v, tuple(types)) for k, v in content.items()}


def _as_refused(value: Any, types: list[Any]) -> Any:
    """Return ``value``, wrapped in `Refused` where a field of these types must not take it."""
    if Any in types:
        return value
    if bool not in types:
        return _without_truth(value)
    words = [word for kind in types if get_origin(kind) is Literal for word in get_args(kind)]
    fits = isinstance(value, bool) or not isinstance(value, int | float | str) or value in words
    return value if fits else Refused(value)


def _without_truth(value: Any) -> Any:
    """Wrap booleans in `Refused`, also in lists; the fields of nested blocks check themselves."""
    if isinstance(value, bool):
        return Refused(value)
    return type(value)(map(_without_truth, value)) if type(value) in (list, tuple) else value


@cache
def _types(model: type[BaseModel]) -> dict[str, list[Any]]:
    """Return the types in each field's annotation, by the field's name and by its alias."""
    fields = model.model_fields.items()
    return {key: _flat(field.annotation) for name, field in fields for key in (name, field.alias or name)}


def _flat(annotation: Any) -> list[Any]:
    if get_origin(annotation) is Literal or not get_args(annotation):
        return [annotation]
    return [part for inner in get_args(annotation) for part in _flat(inner)]


def one_of(known: Any, what: str) -> BeforeValidator:
    """Return a validator that rejects a value outside the names ``known`` and lists them."""

    def check(value: Any) -> Any:
        if value not in list(known):
            raise ValueError(f"no such {what}{did_you_mean(value, known)}; known: {', '.join(known)}")
        return value

    return BeforeValidator(check)


def of_kind(registry: Mapping[str, type[Parameters]], what: str) -> BeforeValidator:
    """Return a validator that turns a kind, or a mapping with ``kind``, into an object of the registered class."""

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
