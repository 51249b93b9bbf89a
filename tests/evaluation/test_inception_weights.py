"""The files of Inception's weights: fetched once from a site, kept, checked, asked for where there is no network."""

import hashlib
from collections.abc import Callable
from http.server import ThreadingHTTPServer
from pathlib import Path

import pytest
from cleanfid.downloads_helper import inception_url
from torch_fidelity.feature_extractor_inceptionv3 import URL_INCEPTION_V3

from tdbench.cli.main import main
from tdbench.errors import TdbenchError
from tdbench.evaluation.inception_weights import PUBLISHED, published_weights
from tdbench.records.layout import weights_record
from tdbench.runtime.downloads import CACHE_VARIABLE, cache_folder
from tdbench.runtime.files import read_json

CONTENT = {name: f"weights of {name}".encode() for name in PUBLISHED}


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, serve: Callable[[Path], ThreadingHTTPServer]) -> Path:
    """A site in place of the libraries' own, with small files, and an empty cache."""
    folder = tmp_path / "site"
    folder.mkdir()
    monkeypatch.setenv(CACHE_VARIABLE, str(tmp_path / "cache"))
    server = serve(folder)
    for name, file in list(PUBLISHED.items()):
        (folder / file.name).write_bytes(CONTENT[name])
        checksum = hashlib.sha256(CONTENT[name]).hexdigest()
        url = f"http://127.0.0.1:{server.server_port}/{file.name}"
        monkeypatch.setitem(PUBLISHED, name, file._replace(url=url, sha256=checksum))
    return folder


def call(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int:
    monkeypatch.setattr("sys.argv", ["tdbench", "weights", *arguments])
    with pytest.raises(SystemExit) as exit_:
        main()
    return int(exit_.value.code or 0)


def test_addresses_are_the_libraries_own() -> None:
    assert {name: file.url for name, file in PUBLISHED.items()} == {
        "clean-fid": inception_url,
        "torch-fidelity": URL_INCEPTION_V3,
    }
    theirs = PUBLISHED["torch-fidelity"]
    assert theirs.name.removesuffix(".pth").rsplit("-", 1)[-1] == theirs.sha256[:8]


def test_the_cache_is_the_users_own(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv(CACHE_VARIABLE, raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "caches"))
    assert cache_folder() == tmp_path / "caches" / "tdbench"
    monkeypatch.setenv(CACHE_VARIABLE, str(tmp_path / "chosen"))
    assert cache_folder() == tmp_path / "chosen"


def test_files_are_fetched_once_and_recorded(
    site: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    results = tmp_path / "results"
    assert call(monkeypatch, "inception", "--results", str(results)) == 0
    cache = tmp_path / "cache" / "weights"
    assert sorted(cache.iterdir()) == sorted(cache / file.name for file in PUBLISHED.values())
    assert capsys.readouterr().out.split() == [str(cache / file.name) for file in PUBLISHED.values()]
    for name, file in PUBLISHED.items():
        assert (cache / file.name).read_bytes() == CONTENT[name]
        record = read_json(weights_record(results, "inception", name), "tdbench weights")
        assert (record["library"], record["sha256"]) == (name, file.sha256)
        (site / file.name).unlink()
    assert published_weights("clean-fid") == cache / PUBLISHED["clean-fid"].name
    # Another results folder, the same files.
    assert call(monkeypatch, "--library", "clean-fid", "--results", str(tmp_path / "others")) == 0
    assert [path.name for path in (tmp_path / "others" / "weights").iterdir()] == ["inception-clean-fid.json"]


def test_without_a_network_a_line_a_file_says_which_and_where(
    site: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, file in PUBLISHED.items():
        monkeypatch.setitem(PUBLISHED, name, file._replace(url=f"http://127.0.0.1:9/{file.name}"))
    assert call(monkeypatch, "--results", str(tmp_path / "results")) == 2
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 2
    for line, (name, file) in zip(lines, PUBLISHED.items(), strict=True):
        assert line.startswith(f"tdbench: error: {file.url}: cannot be downloaded (ConnectionError)")
        for words in (f"'inception' of {name}", "95.6 MB", file.sha256, "or give its path in evaluation.weights"):
            assert words in line
        assert f"put it at {tmp_path / 'cache' / 'weights' / file.name}" in line
    assert not (tmp_path / "results").exists()
    # Put there by hand, they are taken.
    for name, file in PUBLISHED.items():
        (tmp_path / "cache" / "weights").mkdir(parents=True, exist_ok=True)
        (tmp_path / "cache" / "weights" / file.name).write_bytes(CONTENT[name])
    assert call(monkeypatch, "--results", str(tmp_path / "results")) == 0


def test_another_file_under_that_name_is_refused_and_left(site: Path, tmp_path: Path) -> None:
    path = tmp_path / "cache" / "weights" / PUBLISHED["clean-fid"].name
    path.parent.mkdir(parents=True)
    path.write_bytes(b"half a file")
    with pytest.raises(TdbenchError, match=r"not the published .*delete it to download it again") as caught:
        published_weights("clean-fid")
    assert str(caught.value).startswith(f"{path}: ") and path.read_bytes() == b"half a file"
    path.unlink()
    (site / path.name).write_bytes(b"something else")
    with pytest.raises(TdbenchError, match="the downloaded file has the wrong checksum"):
        published_weights("clean-fid")
    assert list(path.parent.iterdir()) == []


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("classifier",), "weights 'classifier': no such network; known: inception, lpips"),
        (
            ("--library", "lpips", "--library", "clean-fid"),
            "--library 'lpips': publishes no weights; known: clean-fid, torch-fidelity",
        ),
    ],
)
def test_what_has_no_weights_to_fetch(
    arguments: tuple[str, ...],
    words: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert call(monkeypatch, *arguments, "--results", str(tmp_path)) == 2
    assert words in capsys.readouterr().err
