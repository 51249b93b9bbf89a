"""Folders of a user's images: order, classes, crop, resize, and files that cannot be used."""

import io
import json
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tdbench.cli.main import main
from tdbench.data.archive import read_archive, write_archive
from tdbench.data.folder import read_folder
from tdbench.data.sources import SOURCES, read_source
from tdbench.errors import TdbenchError


def save(path: Path, colour: int | tuple[int, ...] = (10, 20, 30), size: tuple[int, int] = (12, 9)) -> Path:
    """A plain image; one number makes it grey."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("L" if isinstance(colour, int) else "RGB", size, colour).save(path)
    return path


def test_sub_folders_are_classes_in_the_order_of_their_names(tmp_path: Path) -> None:
    for name, red in {"b/2.png": 2, "b/10.png": 1, "a/z/x.PNG": 0, "c d/1.bmp": 3}.items():
        save(tmp_path / name, (red, 0, 0))
    (tmp_path / "a" / "notes.txt").write_text("no image")
    (tmp_path / "a" / "._x.png").write_bytes(b"what macOS leaves beside an image")
    found = read_source("folder", tmp_path, 4)
    assert found.images.shape == (4, 3, 4, 4) and found.images.dtype == np.uint8
    # a/z/x.PNG, b/10.png, b/2.png, c d/1.bmp
    assert found.images[:, 0, 0, 0].tolist() == [0, 1, 2, 3]
    assert found.labels is not None and found.labels.tolist() == [0, 1, 1, 2] and found.labels.dtype == np.int64


@pytest.mark.parametrize("where", ["", "only/"])
def test_images_without_classes_make_an_archive_without_labels(
    where: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for i in range(3):
        save(tmp_path / "in" / f"{where}{i}.png", 100 + i)
    output = tmp_path / "archive.zip"
    arguments = ["data", "folder", "--path", str(tmp_path / "in"), "--resolution", "4", "-o", str(output)]
    monkeypatch.setattr("sys.argv", ["tdbench", *arguments])
    with pytest.raises(SystemExit) as exit_:
        main()
    assert exit_.value.code == 0
    with zipfile.ZipFile(output) as z:
        assert json.loads(z.read("dataset.json")) == {"labels": None}
    found = read_archive(output)
    assert found.labels is None and found.num_classes == 0 and found.images.shape == (3, 1, 4, 4)
    assert found.images[:, 0, 2, 2].tolist() == [100, 101, 102]


def test_one_coloured_image_makes_all_of_them_rgb(tmp_path: Path) -> None:
    save(tmp_path / "0.png", 77)
    save(tmp_path / "1.png", (1, 2, 3))
    images = read_source("folder", tmp_path, 2).images
    assert images[:, :, 0, 0].tolist() == [[77, 77, 77], [1, 2, 3]]


def test_a_mix_of_images_inside_and_outside_of_sub_folders_is_refused(tmp_path: Path) -> None:
    save(tmp_path / "a" / "0.png")
    save(tmp_path / "1.png")
    with pytest.raises(TdbenchError, match=r"outside of them lie 1 image: 1\.png; put every image"):
        read_source("folder", tmp_path, 4)


def test_the_square_about_the_centre_is_kept_at_its_own_size(tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (6, 11, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(tmp_path / "0.wide.png")
    Image.fromarray(pixels.transpose(1, 0, 2)).save(tmp_path / "1.tall.png")
    images = read_source("folder", tmp_path, 6).images
    # Of 11 columns 2 fall off at the left and 3 at the right.
    np.testing.assert_array_equal(images[0], pixels[:, 2:8].transpose(2, 0, 1))
    np.testing.assert_array_equal(images[1], pixels[:, 2:8].transpose(2, 1, 0))


def lanczos(signal: np.ndarray, size: int) -> np.ndarray:
    """The textbook filter along one axis: a sinc of three lobes, widened by the factor of a reduction."""
    scale = len(signal) / size
    width = max(scale, 1.0)
    rows = []
    for i in range(size):
        distance = (np.arange(len(signal)) + 0.5 - (i + 0.5) * scale) / width
        weights = np.where(abs(distance) < 3, np.sinc(distance) * np.sinc(distance / 3), 0.0)
        rows.append(weights @ signal / weights.sum())
    return np.array(rows)


@pytest.mark.parametrize("resolution", [8, 40])
def test_the_filter_is_lanczos_with_antialiasing(resolution: int, tmp_path: Path) -> None:
    # Stripes of one pixel: without antialiasing, a reduction by three would pick some of them.
    row = np.concatenate([np.tile([0.0, 255.0], 6), np.linspace(0, 255, 12)])
    Image.fromarray(np.tile(row, (24, 1)).astype(np.uint8)).save(tmp_path / "0.png")
    found = read_source("folder", tmp_path, resolution).images[0, 0]
    expected = np.clip(lanczos(np.floor(row), resolution), 0, 255)
    assert np.abs(found - expected).max() <= 1
    if resolution == 8:
        assert np.ptp(found[0, :3].astype(int)) < 60


def test_the_orientation_that_a_camera_noted_is_applied(tmp_path: Path) -> None:
    pixels = np.zeros((8, 8), np.uint8)
    pixels[:4] = 200
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned a quarter to the right
    Image.fromarray(pixels).save(tmp_path / "0.png", exif=exif)
    np.testing.assert_array_equal(read_source("folder", tmp_path, 8).images[0, 0], np.rot90(pixels, -1))


def encoded(mode: str, **options: object) -> bytes:
    data = io.BytesIO()
    Image.new(mode, (8, 8)).save(data, "png", **options)
    return data.getvalue()


def test_opaque_images_with_an_alpha_channel_are_used(tmp_path: Path) -> None:
    Image.new("RGBA", (8, 8), (9, 8, 7, 255)).save(tmp_path / "0.png")
    assert read_source("folder", tmp_path, 4).images[0, :, 1, 1].tolist() == [9, 8, 7]


BAD: dict[str, tuple[Callable[[], bytes], str]] = {
    "text": (lambda: b"hello", "no image"),
    "empty": (lambda: b"", "no image"),
    "truncated": (lambda: encoded("RGB")[:45], "truncated"),
    "transparent": (lambda: encoded("RGBA"), "transparent"),
    "transparent palette": (lambda: encoded("P", transparency=0), "transparent"),
    "16 bits": (lambda: encoded("I;16"), "mode I;16, 16 bits; expected 8 bits"),
    "animated": (
        lambda: encoded("RGB", save_all=True, append_images=[Image.new("RGB", (8, 8), "red")]),
        "2 frames; expected one",
    ),
}


@pytest.mark.parametrize("kind", BAD)
def test_a_file_that_cannot_be_used_is_named_with_the_reason(kind: str, tmp_path: Path) -> None:
    content, words = BAD[kind]
    save(tmp_path / "a.png")
    (tmp_path / "b.png").write_bytes(content())
    with pytest.raises(TdbenchError, match=rf"cannot use 1 image: b\.png \(.*{words}.*\); repair or remove"):
        read_source("folder", tmp_path, 4)


def test_all_bad_files_are_counted_and_nothing_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for i in range(100):
        path = save(tmp_path / "in" / f"{i:03d}.png")
        if i % 10 == 7:
            path.write_bytes(b"damaged")
    output = tmp_path / "out" / "archive.zip"
    arguments = ["data", "folder", "--path", str(tmp_path / "in"), "--resolution", "4", "-o", str(output)]
    monkeypatch.setattr("sys.argv", ["tdbench", *arguments])
    with pytest.raises(SystemExit) as exit_:
        main()
    error = capsys.readouterr().err
    assert exit_.value.code == 2 and error.count("\n") == 1
    assert "cannot use 10 images: 007.png (" in error and "047.png" in error and "057.png" not in error
    assert not output.parent.exists()


@pytest.mark.parametrize("limit", [100, 40])  # Pillow warns above the limit and refuses above its double
def test_an_image_that_would_fill_the_memory_is_a_bad_file(
    limit: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    save(tmp_path / "big.png", size=(11, 10))
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", limit)
    with pytest.raises(TdbenchError, match=rf"cannot use 1 image: big\.png \(more than {limit} pixels\)"):
        read_source("folder", tmp_path, 4)


def test_folders_that_hold_no_images(tmp_path: Path) -> None:
    (tmp_path / "x").mkdir()
    for name in ("x/readme.txt", "data.csv"):
        (tmp_path / name).write_text("no image")
    with pytest.raises(TdbenchError, match=r"holds no images but 2 other files; expected files .*\.png"):
        read_source("folder", tmp_path, 4)
    with pytest.raises(TdbenchError, match="no such folder"):
        read_source("folder", tmp_path / "nowhere", 4)
    with pytest.raises(TdbenchError, match="is not a folder"):
        read_source("folder", tmp_path / "data.csv", 4)


def test_links_to_folders_and_unpacked_archives_are_refused(tmp_path: Path) -> None:
    save(tmp_path / "in" / "a" / "0.png")
    (tmp_path / "in" / "dataset.json").write_text('{"labels": null}')
    with pytest.raises(TdbenchError, match="unpacked archive"):
        read_source("folder", tmp_path / "in", 4)
    (tmp_path / "in" / "b").symlink_to(tmp_path / "in")
    with pytest.raises(TdbenchError, match="b: is a link to a folder"):
        read_source("folder", tmp_path / "in", 4)


def test_more_than_the_memory_holds_is_one_line(tmp_path: Path) -> None:
    save(tmp_path / "0.png")
    with pytest.raises(TdbenchError, match=r"1 images of 4000000000x4000000000 need .* GB of memory"):
        read_folder(tmp_path, 4_000_000_000, labelled=False)


@pytest.mark.parametrize("source", ["ffhq", "afhqv2"])
def test_known_sets_have_no_labels_are_64x64_and_miscounts_are_told(
    source: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, red in {"train/cat/1.png": 2, "00000/00001.png": 0, "test/dog/1.png": 1}.items():
        save(tmp_path / name, (red, 0, 0), (80, 80))
    found = read_source(source, tmp_path, None)
    assert found.labels is None and found.images.shape == (3, 3, 64, 64)
    assert found.images[:, 0, 0, 0].tolist() == [0, 1, 2]
    warning = capsys.readouterr().err
    expected = {"ffhq": "70,000", "afhqv2": "15,803"}[source]
    assert warning.count("\n") == 1 and f"{source} has {expected} images, found 3" in warning


def test_the_right_count_is_no_warning(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    save(tmp_path / "0.png")
    nominal = SOURCES["ffhq"].nominal
    assert nominal is not None
    monkeypatch.setitem(SOURCES, "ffhq", SOURCES["ffhq"]._replace(nominal=nominal._replace(images=1)))
    assert read_source("ffhq", tmp_path, 32).images.shape == (1, 3, 32, 32)
    assert capsys.readouterr().err == ""


def test_known_sets_are_read_from_archives_of_their_size(tmp_path: Path) -> None:
    images = np.random.default_rng(0).integers(0, 256, (2, 3, 64, 64), dtype=np.uint8)
    write_archive(tmp_path / "64.zip", images, np.array([0, 1]))
    found = read_source("ffhq", tmp_path / "64.zip", None)
    np.testing.assert_array_equal(found.images, images)
    assert found.labels is None
    with pytest.raises(TdbenchError, match=r"64\.zip: holds images of 64x64, but afhqv2 was asked for at 32x32"):
        read_source("afhqv2", tmp_path / "64.zip", 32)
    write_archive(tmp_path / "grey.zip", images[:, :1], None)
    with pytest.raises(TdbenchError, match="all images are grey, but ffhq is in colour"):
        read_source("ffhq", tmp_path / "grey.zip", None)
