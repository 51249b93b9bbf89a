"""The feature extractors and the libraries that score, by name.

The names stand here, apart from what they name, so that an experiment can be checked without waiting
for torch's and the libraries' imports.
"""

LIBRARIES = ("clean-fid", "clean-fid-legacy-tensorflow", "torch-fidelity")
"""Whose scores there are, a column each; the one in the middle is clean-fid in its mode `legacy_tensorflow`."""


DEFAULT_LIBRARIES = ("clean-fid", "torch-fidelity")


FEATURES = ("classifier", "efficientnet-lite0", "inception")


PUBLISHERS = {"clean-fid": "clean-fid", "clean-fid-legacy-tensorflow": "clean-fid", "torch-fidelity": "torch-fidelity"}
"""Library -> whose file of Inception's weights it uses."""


RESIZES = {
    "clean-fid": "antialiased bicubic",
    "clean-fid-legacy-tensorflow": "TensorFlow bilinear",
    "torch-fidelity": "TensorFlow bilinear",
}
"""Library -> its resize for Inception, by the names of results/published; scores keep it in more words."""


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
    if features != "inception" and "clean-fid-legacy-tensorflow" in libraries:
        raise ValueError(
            "libraries: 'clean-fid-legacy-tensorflow' differs from 'clean-fid' by its resize for Inception alone, and "
            f"features {features!r} are not resized by the library; leave it out, or choose features inception"
        )
