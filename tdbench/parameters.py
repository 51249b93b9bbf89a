"""Frozen, validated value objects: the base of every block of settings."""

from pydantic import BaseModel, ConfigDict


class Parameters(BaseModel):
    """Settings that cannot hold a bad value, cannot change, and refuse keys they do not know."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", populate_by_name=True, allow_inf_nan=False, ser_json_inf_nan="constants"
    )
