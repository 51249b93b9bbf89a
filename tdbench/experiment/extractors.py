"""Registries of the feature extractors and the scoring libraries, one row each.

A row holds facts, and functions as ``module:name``, so an experiment can be validated without importing torch and the
libraries. A new extractor needs a function and a row.
"""

from typing import NamedTuple


class Library(NamedTuple):
    """A scoring library; it gives one column of scores."""

    publisher: str
    """The library whose file of Inception weights it uses."""
    resize: str
    """Its resize for Inception, as results/published names it; scores store a longer text."""
    module: str
    """Module that extracts features with its loop and computes its distances."""
    inception: str
    """Function (path of the weights, name, SHA-256) -> the library's Inception."""


_INCEPTION = "tdbench.evaluation.inception"

LIBRARIES = {
    "clean-fid": Library("clean-fid", "antialiased bicubic", "tdbench.evaluation.clean_fid", f"{_INCEPTION}:clean"),
    # The mode `legacy_tensorflow` of clean-fid.
    "clean-fid-legacy-tensorflow": Library(
        "clean-fid", "TensorFlow bilinear", "tdbench.evaluation.clean_fid", f"{_INCEPTION}:legacy_tensorflow"
    ),
    "torch-fidelity": Library(
        "torch-fidelity", "TensorFlow bilinear", "tdbench.evaluation.torch_fidelity", f"{_INCEPTION}:torch_fidelity"
    ),
}
DEFAULT_LIBRARIES = ("clean-fid", "torch-fidelity")
PUBLISHERS = {name: library.publisher for name, library in LIBRARIES.items()}
"""Library -> the library whose file of Inception weights it uses."""


class Extractor(NamedTuple):
    """A network that extracts features."""

    about: str
    """Description for the documentation."""
    resize: str
    """How images are resized for it, for the documentation."""
    classes: str
    """Which classes it predicts, for the Inception score; empty for none."""
    loader: str
    """Function (library, DatasetLayout, user's file of weights or None) -> FeatureExtractor."""
    describe: str
    """Function (DatasetLayout, libraries, name) -> a line on its quality or its origin."""
    gflops: float
    """GFLOP per image."""
    dimensions: int
    """Length of a feature vector; 0 if it is the number of values of an image."""
    own_of_library: bool = False
    """Whether each library publishes its own weights and has its own resize. The features of two libraries then differ,
    and each has its own job. Inception is the only such extractor: the rule `weights` and
    `evaluation.inception_weights` download its files. Another one would need its own rule and function."""
    trained_on_data: bool = False
    """Whether `tdbench classifier` trains it on the labels of the data set."""
    largest_side: int | None = None
    """Width and height of the largest images that it takes, pixels."""
    plugin: str = ""
    """The plug-in that registered it, as `--plugin` takes it; empty for built-in ones."""

    def length(self, values: int) -> int:
        """Return the length of a feature vector, for images of so many values (channels times pixels)."""
        return self.dimensions or values


EXTRACTORS = {
    "classifier": Extractor(
        about="a small CNN trained on the data set's own labels",
        resize="none",
        classes="the data set's",
        loader="tdbench.evaluation.classifier:load",
        describe="tdbench.evaluation.classifier:describe",
        gflops=0.1,
        dimensions=64,
        trained_on_data=True,
    ),
    "efficientnet-lite0": Extractor(
        about="EfficientNet-Lite0 of ImageNet, whose weights a package brings",
        resize="bicubic, antialiased, to 224x224",
        classes="ImageNet's",
        loader="tdbench.evaluation.efficientnet:load",
        describe="tdbench.evaluation.features:describe_references",
        gflops=0.8,
        dimensions=1280,
    ),
    "inception": Extractor(
        about="Inception v3 as each library has it, which published FIDs use",
        resize="each library's own, to 299x299",
        classes="ImageNet's, with torch-fidelity",
        loader="tdbench.evaluation.inception:load",
        describe="tdbench.evaluation.features:describe_references",
        gflops=11.4,
        dimensions=2048,
        own_of_library=True,
    ),
    "pixels": Extractor(
        about="the images' own numbers in [−1, 1], for images of at most 16×16",
        resize="none",
        classes="",
        loader="tdbench.evaluation.pixels:load",
        describe="tdbench.evaluation.pixels:describe",
        gflops=0.0,
        dimensions=0,
        largest_side=16,
    ),
}
DEFAULT_FEATURES = "classifier"
LIBRARY_SPECIFIC = tuple(name for name, row in EXTRACTORS.items() if row.own_of_library)
"""Extractors that differ by library. The libraries share all others, also those of plug-ins."""


def too_large(features: str, side: int) -> str | None:
    """Return why an extractor does not take images of ``side`` pixels a side; None if it does."""
    largest = EXTRACTORS[features].largest_side
    if largest is None or side <= largest:
        return None
    others = [name for name, row in EXTRACTORS.items() if row.largest_side is None]
    return f"takes images of at most {largest}x{largest}, not {side}x{side}; choose {' or '.join(others)}"


def check_libraries(libraries: tuple[str, ...], features: str) -> None:
    """Check that each of these libraries gives a column of its own on these features.

    Raises
    ------
    ValueError
        If one is listed twice or equals another on these features; the caller adds file and key.
    """
    twice = next((name for name in libraries if libraries.count(name) > 1), None)
    if twice:
        raise ValueError(f"libraries: {twice!r} is listed twice")
    modes = [name for name, library in LIBRARIES.items() if name != library.publisher]
    if features not in LIBRARY_SPECIFIC and (mode := next((name for name in libraries if name in modes), None)):
        raise ValueError(
            f"libraries: {mode!r} differs from {LIBRARIES[mode].publisher!r} only in its resize for Inception, "
            f"which features {features!r} do not use; remove it, or choose features {LIBRARY_SPECIFIC[0]}"
        )
