"""A folder of a user's images, cropped and resized to one size.

Each image is turned as its EXIF orientation says, cropped to the largest square about its centre (an odd pixel
too many falls off at the right or at the bottom) and resized by Pillow's LANCZOS filter, whether it shrinks or grows: a
windowed sinc of three lobes. Pillow widens the filter by the factor of the reduction, which is its antialiasing; when
enlarging, the filter keeps its width and nothing needs antialiasing. Values are rounded to 8 bits. This is what
EDM's dataset preparation does with ``center-crop``, and for images that are square already also what it does
without, as for its FFHQ and AFHQv2. Colour profiles are ignored, as they are there.
"""

import os
import stat
from pathlib import Path, PurePosixPath

import numpy as np
from PIL import Image

from tdbench.data.decoding import allocate, decode_all, some
from tdbench.data.images import FORMATS, READ, is_hidden, is_image, judge_others, plain
from tdbench.data.raw import RawImages
from tdbench.errors import TdbenchError, printable


def read_folder(folder: Path, resolution: int, labelled: bool) -> RawImages:
    """All images of a folder and its sub-folders, in the order of their paths.

    Parameters
    ----------
    resolution : int
        Width and height to resize to, pixels.
    labelled : bool
        Whether the sub-folders are classes: in the order of their names 0, 1, ... Images that lie in the folder
        itself, or all in one sub-folder, have no classes.

    Returns
    -------
    RawImages
        One channel where every image is grey, else three.

    Raises
    ------
    TdbenchError
        If there are no images, some lie in sub-folders and some do not, a class has none, or any cannot be used; all
        of these are counted and the first few named.
    """
    names = find_images(folder)
    class_names = _class_names(folder, names) if labelled else None
    number = {name: i for i, name in enumerate(class_names or [])}
    labels = np.array([number[name.parts[0]] for name in names], dtype=np.int64) if number else None
    try:
        images, grey = allocate(len(names), 3, resolution, resolution), np.zeros(len(names), dtype=bool)
    except TdbenchError as error:
        raise TdbenchError(f"{folder}: {error}") from error

    def decode(i: int) -> None:
        # Opening a pipe would block until another process writes to it.
        if not stat.S_ISREG((folder / names[i]).stat().st_mode):
            raise ValueError("not a regular file")
        with Image.open(folder / names[i], formats=FORMATS) as image:
            fitted, grey[i] = fit(image, resolution)
        images[i] = np.asarray(fitted).transpose(2, 0, 1)

    bad = decode_all(names, decode, f"reading {folder.name}")
    if bad:
        raise TdbenchError(f"{folder}: cannot use {some(bad)}; repair or remove them, then run this again")
    shown = class_names and [printable(name) for name in class_names]
    return RawImages(np.ascontiguousarray(images[:, :1]) if grey.all() else images, labels, shown)


def resized(images: np.ndarray, resolution: int) -> np.ndarray:
    """Square images (N, C, H, W) uint8, resized as those of a folder are; unchanged if they have that size already."""
    if images.shape[2] == resolution:
        return images
    found = allocate(len(images), images.shape[1], resolution, resolution)

    def resize(i: int) -> None:
        for channel, values in enumerate(images[i]):
            found[i, channel] = np.asarray(_resize(Image.fromarray(values), resolution))

    failed = decode_all(range(len(images)), resize, f"resizing to {resolution}x{resolution}")
    if failed:
        raise TdbenchError(f"cannot resize {some(failed)}")
    return found


def _resize(image: Image.Image, resolution: int) -> Image.Image:
    return image.resize((resolution, resolution), Image.Resampling.LANCZOS)


def find_images(folder: Path) -> list[PurePosixPath]:
    """Paths of all images relative to ``folder``, sorted part by part; hidden files and folders are left out."""
    if not folder.is_dir():
        problem = "is not a folder" if folder.exists() else "no such folder"
        raise TdbenchError(f"{folder}: {problem}; give the path of a folder of images")
    names: list[PurePosixPath] = []
    others: list[str] = []
    for parent, folders, files in os.walk(folder, onerror=_unreadable):
        folders[:] = [name for name in folders if not is_hidden(name)]
        links = [Path(parent, name) for name in folders if Path(parent, name).is_symlink()]
        if links:
            # Such a link may form a loop, and skipping it would lose images silently.
            raise TdbenchError(f"{links[0]}: is a link to a folder, which is not followed; put the folder itself there")
        for name in files:
            path = PurePosixPath(Path(parent, name).relative_to(folder).as_posix())
            if is_image(name) and not is_hidden(name):
                names.append(path)
            elif not is_hidden(name):
                others.append(str(path))
    judge_others(folder, others)
    if not names:
        files_there = f"{len(others)} other file{'s' if len(others) != 1 else ''}"
        raise TdbenchError(f"{folder}: holds no images but {files_there}; expected files {READ}")
    return sorted(names)


def _unreadable(error: OSError) -> None:
    raise TdbenchError(f"{error.filename}: the folder cannot be read ({error.strerror})") from error


def _class_names(folder: Path, names: list[PurePosixPath]) -> list[str] | None:
    """The uppermost sub-folders, sorted, which are classes; None where there is nothing to tell apart."""
    if (folder / "dataset.json").exists():
        raise TdbenchError(
            f"{folder}: holds a dataset.json, so it is an unpacked archive whose classes are not its sub-folders; "
            "zip its content and use source archive"
        )
    inside = [name for name in names if len(name.parts) > 1]
    direct = [name for name in names if len(name.parts) == 1]
    if inside and direct:
        raise TdbenchError(
            f"{folder}: sub-folders are classes, but outside of them lie {some(direct)}; "
            "put every image into a sub-folder, or all into the folder itself for images without classes"
        )
    classes = sorted({name.parts[0] for name in inside})
    folders = sorted(path.name for path in folder.iterdir() if path.is_dir() and not is_hidden(path.name))
    if inside and folders != classes:
        # Left out, it would give its number to the class behind it.
        empty = next(name for name in folders if name not in classes)
        raise TdbenchError(
            f"{folder / empty}: holds no images, but sub-folders are classes; put images there or remove it"
        )
    return classes if len(classes) > 1 else None


def fit(image: Image.Image, resolution: int) -> tuple[Image.Image, bool]:
    """A square RGB image of ``resolution`` pixels a side, and whether it was grey.

    Raises
    ------
    ValueError
        As `images.plain` does.
    """
    upright = plain(image)
    side = min(upright.size)
    left, top = (upright.width - side) // 2, (upright.height - side) // 2
    square = upright.convert("RGB").crop((left, top, left + side, top + side))
    return _resize(square, resolution), upright.mode == "L"
