"""The feature extractors and the libraries that score: a row each, with everything that differs by row.

A row holds facts and names of functions as ``module:name``, so that an experiment can be checked without waiting for
the imports of torch and the libraries. To add an extractor is a function and a row.
"""

from typing import NamedTuple


class Library(NamedTuple):
    """A library that scores: a column of scores."""

    publisher: str
    """Whose file of Inception's weights it uses."""
    resize: str
    """Its resize for Inception, by the names of results/published; scores keep it in more words."""
    module: str
    """What extracts with its loop and computes its distances."""
    inception: str
    """Function (path of the weights, name, SHA-256) -> Inception as the library uses it."""


_INCEPTION = "tdbench.evaluation.inception"

LIBRARIES = {
    "clean-fid": Library("clean-fid", "antialiased bicubic", "tdbench.evaluation.clean_fid", f"{_INCEPTION}:clean"),
    # clean-fid in its mode `legacy_tensorflow`.
    "clean-fid-legacy-tensorflow": Library(
        "clean-fid", "TensorFlow bilinear", "tdbench.evaluation.clean_fid", f"{_INCEPTION}:legacy_tensorflow"
    ),
    "torch-fidelity": Library(
        "torch-fidelity", "TensorFlow bilinear", "tdbench.evaluation.torch_fidelity", f"{_INCEPTION}:torch_fidelity"
    ),
}
DEFAULT_LIBRARIES = ("clean-fid", "torch-fidelity")
PUBLISHERS = {name: library.publisher for name, library in LIBRARIES.items()}
"""Library -> whose file of Inception's weights it uses."""


class Extractor(NamedTuple):
    """A network that features are extracted with."""

    about: str
    """What it is, for the documentation."""
    resize: str
    """How images get to the size that it reads, for the documentation."""
    classes: str
    """Which classes it predicts, for the Inception score; empty for none."""
    loader: str
    """Function (library, DatasetLayout, file of weights in place of the published one or None) -> FeatureExtractor."""
    describe: str
    """Function (DatasetLayout, libraries, name) -> a line for people: how good it is, or where it comes from."""
    gflops: float
    """1e9 operations an image."""
    dimensions: int
    """Numbers of a feature vector."""
    own_of_library: bool = False
    """Whether each library has its own file of weights, which it publishes, and its own resize. Then the features of
    two libraries are two measures, extracted by a job each. Inception is the only one: the rule `weights` and
    `evaluation.inception_weights` fetch its files, and another one needs its own rule and function."""
    trained_on_data: bool = False
    """Whether it is trained on the data set's labels, by `tdbench classifier`."""
    plugin: str = ""
    """The plug-in that brought it, as `--plugin` takes it; empty for tdbench's own."""


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
}
DEFAULT_FEATURES = "classifier"
OWN = tuple(name for name, row in EXTRACTORS.items() if row.own_of_library)
"""Extractors that each library has in its own way. The libraries share all others, and those of plug-ins."""


def check_libraries(libraries: tuple[str, ...], features: str) -> None:
    """Whether these libraries give a column each on these features.

    Raises
    ------
    ValueError
        In plain words, for a message that names the file and the key.
    """
    twice = next((name for name in libraries if libraries.count(name) > 1), None)
    if twice:
        raise ValueError(f"libraries: {twice!r} is listed twice")
    modes = [name for name, library in LIBRARIES.items() if name != library.publisher]
    if features not in OWN and (mode := next((name for name in libraries if name in modes), None)):
        raise ValueError(
            f"libraries: {mode!r} differs from {LIBRARIES[mode].publisher!r} only in its resize for Inception, "
            f"which features {features!r} do not use; remove it, or choose features {OWN[0]}"
        )
