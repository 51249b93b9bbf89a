"""Frozen, validated value objects: the base of every block of settings."""

from functools import cache
from typing import Any, Literal, get_args, get_origin

from pydantic import BaseModel, ConfigDict, model_validator


class Parameters(BaseModel):
    """Settings that cannot hold a bad value, cannot change, and refuse keys they do not know."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", populate_by_name=True, allow_inf_nan=False, ser_json_inf_nan="constants"
    )

    @model_validator(mode="before")
    @classmethod
    def _truth_is_no_number(cls, content: Any) -> Any:
        """Have booleans refused as numbers, and numbers and words as booleans: a slip would go unseen.

        Python counts True as 1, and pydantic takes 1 and "yes" for True. What belongs to an unknown key gets to know
        the known ones, which the error does not say.
        """
        if not isinstance(content, dict):
            return content
        types = _types(cls)
        return {k: _as_refused(v, types[k]) if k in types else Unknown(v, tuple(types)) for k, v in content.items()}


class _Refused:
    """A value that no type takes; in messages it looks as it was written."""

    def __init__(self, value: Any) -> None:
        self._value = value

    def __repr__(self) -> str:
        return repr(self._value)


class Unknown(_Refused):
    """The value of an unknown key.

    Attributes
    ----------
    known : tuple of str
        The keys that its block has.
    """

    def __init__(self, value: Any, known: tuple[str, ...]) -> None:
        super().__init__(value)
        self.known = known


def _as_refused(value: Any, types: list[Any]) -> Any:
    """``value``, with a boolean where a field of these types takes none made one that is refused, or the reverse."""
    if Any in types:
        return value
    if bool not in types:
        return _without_truth(value)
    words = [word for kind in types if get_origin(kind) is Literal for word in get_args(kind)]
    fits = isinstance(value, bool) or not isinstance(value, int | float | str) or value in words
    return value if fits else _Refused(value)


def _without_truth(value: Any) -> Any:
    """Blocks are left to their own fields."""
    if isinstance(value, bool):
        return _Refused(value)
    return type(value)(map(_without_truth, value)) if type(value) in (list, tuple) else value


@cache
def _types(model: type[BaseModel]) -> dict[str, list[Any]]:
    """The types that each field's annotation is made of, by the field's name and by its alias."""
    fields = model.model_fields.items()
    return {key: _flat(field.annotation) for name, field in fields for key in (name, field.alias or name)}


def _flat(annotation: Any) -> list[Any]:
    if get_origin(annotation) is Literal or not get_args(annotation):
        return [annotation]
    return [part for inner in get_args(annotation) for part in _flat(inner)]
