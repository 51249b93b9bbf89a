"""The archive format, and damaged archives."""

import io
import json
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from sklearn.datasets import load_digits

from tdbench.cli.main import main
from tdbench.data.archive import ImageSet, read_archive, write_archive
from tdbench.data.sources import digits
from tdbench.errors import TdbenchError


def test_digits_survive_the_archive(images: ImageSet) -> None:
    original = load_digits()
    assert images.images.shape == (1797, 1, 8, 8)
    np.testing.assert_array_equal(np.rint(images.images[:, 0] * (16 / 255)), original.images)
    np.testing.assert_array_equal(images.labels, original.target)
    assert (images.channels, images.resolution, images.num_classes) == (1, 8, 10)


def test_the_same_images_give_the_same_bytes(archive: Path, tmp_path: Path) -> None:
    write_archive(tmp_path / "again.zip", *digits(None))
    assert (tmp_path / "again.zip").read_bytes() == archive.read_bytes()


def test_layout_is_edms(archive: Path) -> None:
    with zipfile.ZipFile(archive) as z:
        labels = json.loads(z.read("dataset.json"))["labels"]
        assert labels[0] == ["00000/img00000000.png", 0] and labels[-1][0] == "00001/img00001796.png"
        assert Image.open(io.BytesIO(z.read(labels[3][0]))).mode == "L"


def test_colour_and_jpeg_and_unlabelled_archives_are_read(tmp_path: Path) -> None:
    path = tmp_path / "colour.zip"
    colours = np.random.default_rng(0).integers(0, 256, (3, 4, 4, 3), dtype=np.uint8)
    with zipfile.ZipFile(path, "w") as z:
        for i, image in enumerate(colours):
            data = io.BytesIO()
            Image.fromarray(image).save(data, "png" if i else "jpeg", quality=95)
            z.writestr(f"{i}.{'png' if i else 'jpg'}", data.getvalue())
        z.writestr("dataset.json", '{"labels": null}')
    found = read_archive(path)
    assert found.images.shape == (3, 3, 4, 4) and found.labels is None and found.num_classes == 0
    np.testing.assert_array_equal(found.images[1:], colours[1:].transpose(0, 3, 1, 2))


def png(size: tuple[int, int] = (8, 8)) -> bytes:
    data = io.BytesIO()
    Image.new("L", size).save(data, "png")
    return data.getvalue()


def rewrite(archive: Path, target: Path, change: Callable[[dict[str, bytes]], None]) -> Path:
    with zipfile.ZipFile(archive) as z:
        members = {name: z.read(name) for name in z.namelist()}
    change(members)
    with zipfile.ZipFile(target, "w") as z:
        for name, content in members.items():
            z.writestr(name, content)
    return target


FIRST = "00000/img00000000.png"


def picture(mode: str) -> bytes:
    data = io.BytesIO()
    Image.new(mode, (8, 8)).save(data, "png")
    return data.getvalue()


def relabel(members: dict[str, bytes], change: Callable[[list], list]) -> None:
    labels = json.loads(members["dataset.json"])["labels"]
    members["dataset.json"] = json.dumps({"labels": change(labels)}).encode()


DAMAGES: dict[str, tuple[Callable[[dict[str, bytes]], object], str]] = {
    "missing image": (lambda m: m.pop(FIRST), f"labels 1 image: {FIRST} that the archive does not hold"),
    "truncated image": (lambda m: m.update({FIRST: m[FIRST][:60]}), f"cannot use 1 image: {FIRST}"),
    "not an image": (lambda m: m.update({FIRST: b"hello"}), f"cannot use 1 image: {FIRST}"),
    "label missing": (lambda m: relabel(m, lambda labels: labels[1:]), f"gives no label for 1 image: {FIRST}"),
    "image named twice": (lambda m: relabel(m, lambda labels: [*labels, labels[0]]), "1 images are named twice"),
    "negative class": (
        lambda m: relabel(m, lambda labels: [[labels[0][0], -1], *labels[1:]]),
        '-1]; expected {"labels"',
    ),
    "no dataset.json": (lambda m: m.pop("dataset.json"), "dataset.json is missing"),
    "bad json": (lambda m: m.update({"dataset.json": b"{"}), "dataset.json is not JSON"),
    "16 bits": (lambda m: m.update({FIRST: picture("I;16")}), "mode I;16, 16 bits; expected 8 bits a channel"),
    "transparent": (lambda m: m.update({FIRST: picture("RGBA")}), "transparent; expected an opaque image"),
    "a class without images": (
        lambda m: relabel(m, lambda labels: [[n, c + (c > 3)] for n, c in labels]),
        "no image of class 4; classes are 0, 1, ... without gaps",
    ),
    "other size": (lambda m: m.update({FIRST: png((4, 4))}), "must be square and of one size"),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_archive_is_one_clear_line_and_exit_code_2(
    damage: str, archive: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    change, words = DAMAGES[damage]
    broken = rewrite(archive, tmp_path / "broken.zip", change)
    output = tmp_path / "out" / "archive.zip"
    monkeypatch.setattr("sys.argv", ["tdbench", "data", "archive", "--path", str(broken), "-o", str(output)])
    with pytest.raises(SystemExit) as exit_:
        main()
    error = capsys.readouterr().err
    assert exit_.value.code == 2 and error.count("\n") == 1
    assert str(broken) in error and words in error
    assert not output.exists()


def test_all_damaged_images_are_counted(archive: Path, tmp_path: Path) -> None:
    def truncate_many(members: dict[str, bytes]) -> None:
        for i in range(20, 40):
            members[f"00000/img{i:08d}.png"] = members[f"00000/img{i:08d}.png"][:50]

    with pytest.raises(TdbenchError, match=r"cannot use 20 images: 00000/img00000020.png .*, \.\.\."):
        read_archive(rewrite(archive, tmp_path / "broken.zip", truncate_many))


def test_flipped_bytes_in_a_compressed_archive(archive: Path, tmp_path: Path) -> None:
    path = tmp_path / "deflated.zip"
    with zipfile.ZipFile(archive) as z, zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as deflated:
        for name in z.namelist():
            deflated.writestr(name, z.read(name))
    content = bytearray(path.read_bytes())
    for i in range(2_000, 4_000, 50):
        content[i] ^= 0xFF
    path.write_bytes(bytes(content))
    with pytest.raises(TdbenchError, match=str(path)):
        read_archive(path)


def test_a_truncated_zip(archive: Path, tmp_path: Path) -> None:
    path = tmp_path / "cut.zip"
    path.write_bytes(archive.read_bytes()[:100_000])
    with pytest.raises(TdbenchError, match="damaged zip file"):
        read_archive(path)
