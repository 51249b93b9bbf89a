"""Which image files are read, and what an image may be: one decision for every source.

What would be lost without a word is refused: more than 8 bits a channel, transparency, further frames.
"""

from collections.abc import Iterable
from pathlib import Path, PurePosixPath

from PIL import Image, ImageOps

from tdbench.data.decoding import some
from tdbench.errors import TdbenchError
from tdbench.runtime.progress import say

SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".jpe", ".jfif", ".webp", ".bmp", ".tif", ".tiff"})
FORMATS = ("PNG", "JPEG", "WEBP", "BMP", "DIB", "TIFF")
"""The formats that Pillow may detect, independent of the file's name; for others it would start programs."""
SMALLEST_SIDE, LARGEST_SIDE = 2, 9_459
"""Pixels. A square that is larger has more than the 89,478,485 pixels at which Pillow suspects an attack."""
READ = ", ".join(sorted(SUFFIXES))
_NOT_PILLOWS = frozenset({".heic", ".heif", ".jxl", ".svg", ".dng", ".exr"})
_NO_IMAGES = frozenset({".pdf", ".ps", ".eps", ".h5", ".hdf", ".mpg", ".mpeg"})
_GREY = frozenset({"1", "L", "LA"})
_COLOUR = frozenset({"P", "PA", "RGB", "RGBA", "YCbCr", "CMYK"})


def is_image(name: str) -> bool:
    """Whether a file is read as an image, by its suffix."""
    return PurePosixPath(name).suffix.lower() in SUFFIXES


def is_hidden(name: str) -> bool:
    """Whether a path is a system file: a part begins with a dot, or is __MACOSX."""
    parts = PurePosixPath(name).parts
    return any((part.startswith(".") and part != "..") or part == "__MACOSX" for part in parts)


def judge_others(where: Path, names: Iterable[str]) -> None:
    """Refuse images of unsupported formats; count all other files in a warning.

    Raises
    ------
    TdbenchError
        If any of ``names`` is an image by its suffix: left out, it would be missing in the data, and with it maybe
        a class.
    """
    others = sorted(names)
    if not others:
        return
    formats = (Image.registered_extensions().keys() | _NOT_PILLOWS) - _NO_IMAGES
    unread = [name for name in others if PurePosixPath(name).suffix.lower() in formats]
    if unread:
        raise TdbenchError(
            f"{where}: holds {some(unread)}: unsupported format; convert to PNG, or remove; supported: {READ}"
        )
    first = ", ".join(others[:3]) + (", ..." if len(others) > 3 else "")
    files = "1 file that is no image" if len(others) == 1 else f"{len(others):,} files that are no images"
    say(f"tdbench: warning: {where}: left out {files}: {first}")


def channels(image: Image.Image) -> int:
    """1 or 3, by the head of a file, whose pixels are not read yet.

    Raises
    ------
    ValueError
        If it has more than 8 bits a channel or several frames, or a mode that is neither grey nor colour.
    """
    if _deep(image):
        raise ValueError(f"mode {image.mode}, 16 bits; expected 8 bits a channel")
    if image.mode not in _GREY | _COLOUR:
        raise ValueError(f"mode {image.mode}; expected 8 bits a channel, grey or colour")
    # The second picture in a camera's MPO file is a preview or the other eye's.
    if getattr(image, "is_animated", False) and image.format != "MPO":
        raise ValueError(f"{getattr(image, 'n_frames', 'several')} frames; expected one")
    return 1 if image.mode in _GREY else 3


def _deep(image: Image.Image) -> bool:
    """Whether Pillow would cut values of 16 bits to 8: it does so for colour, and for grey with alpha."""
    if image.format == "TIFF":
        bits = getattr(image, "tag_v2", {}).get(258, (8,))  # BitsPerSample
        return bool(max(bits if isinstance(bits, tuple) else (bits,)) > 8)
    # How the decoder is to unpack the values of a PNG.
    return image.format == "PNG" and any(str(tile[3]).endswith(";16B") for tile in getattr(image, "tile", ()))


def plain(image: Image.Image) -> Image.Image:
    """The pixels of an opened image: upright as its EXIF orientation says, mode L or RGB.

    Raises
    ------
    ValueError
        As `channels` does, and if any pixel is transparent.
    """
    mode = "L" if channels(image) == 1 else "RGB"
    upright = ImageOps.exif_transpose(image)
    if upright.has_transparency_data:
        upright = upright.convert("RGBA")
        if upright.getchannel("A").getextrema() != (255, 255):
            raise ValueError("transparent; expected an opaque image")
        # Without its alpha first: from RGBA, grey would be a weighted sum of what are three equal channels.
        return upright.getchannel("R") if mode == "L" else upright.convert("RGB")
    return upright.convert(mode)
