"""What is recorded of a data set: archive.json, and the part of run.json that says what a run was trained on."""

from typing import Annotated, Self

from pydantic import Field, model_validator

from tdbench.validation import Checksum, Count, Record


class DataSummary(Record):
    """Size, classes and checksum of the images of an archive."""

    sha256: Checksum
    images: Annotated[int, Field(ge=1, le=10**12)]
    resolution: Annotated[int, Field(ge=1, le=65_536)]
    channels: Annotated[int, Field(ge=1, le=16)]
    classes: Annotated[int, Field(ge=0, le=1_000_000)]
    class_counts: list[Count] | None = None
    """Images of each class; results from before it was kept have none."""
    class_names: list[str] | None = None
    """The name of each class, where the source has names."""
    source_state: str | None = None
    """`state.source_state` of the files that an archive was made from, in archive.json alone."""

    @model_validator(mode="after")
    def _counts_fit(self) -> Self:
        counts = self.class_counts
        if counts is not None and (len(counts) != self.classes or sum(counts) != (self.images if counts else 0)):
            raise ValueError(f"class_counts: do not add up to {self.images} images of {self.classes} classes")
        if self.class_names is not None and len(self.class_names) != self.classes:
            raise ValueError(f"class_names: {len(self.class_names)} names of {self.classes} classes")
        return self

    def same_data(self, other: "DataSummary") -> bool:
        """Whether both are of the same data, by what both hold: earlier versions kept no ``class_counts``."""
        return all(getattr(self, key) == getattr(other, key) for key in self.model_fields_set & other.model_fields_set)
