"""Files that others publish, fetched once into a cache of ours; each is known by its checksum."""

import os
from pathlib import Path
from typing import NamedTuple
from urllib.parse import urlsplit

from platformdirs import user_cache_path
from tqdm import tqdm

from tdbench.errors import TdbenchError
from tdbench.runtime.files import sha256, write_json
from tdbench.runtime.progress import progress

CACHE_VARIABLE = "TDBENCH_CACHE"
"""Environment variable of the folder that keeps downloads."""
_HERE = (("http", "127.0.0.1"), ("http", "localhost"))
_TIMEOUTS_S = (15, 60)  # to connect, between two pieces


class Published(NamedTuple):
    """A file as it is published.

    Attributes
    ----------
    url : str
        Ends in the file's name.
    sha256 : str
    size : int
        Bytes.
    """

    url: str
    sha256: str
    size: int

    @property
    def name(self) -> str:
        return self.url.rsplit("/", 1)[-1]


def cache_folder() -> Path:
    """Where downloads are kept: the folder of `CACHE_VARIABLE`, else ``tdbench`` in the user's cache folder."""
    chosen = os.environ.get(CACHE_VARIABLE)
    return Path(chosen) if chosen else user_cache_path("tdbench")


def published_weights(file: Published, needed_by: str, key: str) -> Path:
    """A file of weights in ``weights`` of the cache, fetched if it is not there; its checksum is right.

    Parameters
    ----------
    needed_by : str
        Who needs it, such as ``distance 'lpips' needs``; begins the advice.
    key : str
        Of the experiment file, by which a file of the user's own can be named.

    Raises
    ------
    TdbenchError
        If it cannot be had; says which file to put where.
    """
    folder = cache_folder() / "weights"
    advice = (
        f"{needed_by} this file ({file.size / 1e6:.1f} MB, SHA-256 {file.sha256}): "
        f"download it by other means and put it at {folder / file.name}, or give its path in {key}"
    )
    return fetch(file, folder, advice)


def write_weights_record(path: Path, library: str, file: Published) -> None:
    """Say in the results which published file it was.

    Not when or where it was fetched, so that fetching a file again does not make Snakemake compute anything again.
    """
    write_json(path, {"library": library, "file": file.name, "url": file.url, "sha256": file.sha256})


def fetch(file: Published, folder: Path, advice: str) -> Path:
    """The file in ``folder``, fetched if it is not there; its checksum is right.

    Parameters
    ----------
    advice : str
        What else a reader can do; ends the messages.

    Raises
    ------
    TdbenchError
        If what lies there is another file, if the download fails, or if it cannot be kept.
    """
    path = folder / file.name
    if path.is_file():
        _check(path, file, advice)
        return path
    # pooch imports requests, which only those who download wait for.
    import pooch
    from requests import RequestException

    pooch.get_logger().setLevel("WARNING")
    check_address(file.url)
    try:
        with progress(f"downloading {file.name}", file.size, "B", delay_s=1.0) as bar:
            downloader = pooch.HTTPDownloader(
                progressbar=_DownloadBar(bar, file.size),
                chunk_size=2**16,
                timeout=_TIMEOUTS_S,
                # Of every answer before it is followed.
                hooks={"response": lambda answer, *_, **__: check_address(answer.headers.get("location", file.url))},
            )
            pooch.retrieve(file.url, f"sha256:{file.sha256}", fname=file.name, path=folder, downloader=downloader)
    except RequestException as error:
        # The full chain of errors of requests fills a screen.
        raise TdbenchError(f"{file.url}: cannot be downloaded ({type(error).__name__}); {advice}") from error
    except ValueError as error:
        raise TdbenchError(f"{file.url}: the downloaded file has the wrong checksum; {advice}") from error
    except OSError as error:
        raise TdbenchError(
            f"{folder}: cannot store a download ({error.strerror or error}); set {CACHE_VARIABLE} to a writable folder"
        ) from error
    return path


def check_address(url: str) -> None:
    """Refuse an address that others can read along or answer in another's name; a path is one of the same site.

    Raises
    ------
    TdbenchError
        If it is neither https nor on this very machine.
    """
    parts = urlsplit(url)
    if parts.scheme not in ("https", "") and (parts.scheme, parts.hostname) not in _HERE:
        raise TdbenchError(f"{url}: files are downloaded over https only")


def _check(path: Path, file: Published, advice: str) -> None:
    """A file that lies in the cache already, whoever put it there, is left as it is."""
    found = sha256(path)
    if found != file.sha256:
        raise TdbenchError(
            f"{path}: not the published {file.name}: its SHA-256 is {found}; delete it to download it again, "
            f"or {advice}"
        )


class _DownloadBar:
    """What pooch expects of a progress bar; at the end it winds the bar back and counts all bytes once more."""

    def __init__(self, bar: "tqdm[None]", total: int) -> None:
        self.bar, self.total, self.whole = bar, total, False

    def update(self, count: int) -> None:
        if not self.whole:
            self.bar.update(count)

    def reset(self) -> None:
        self.whole = True

    def close(self) -> None:
        """The block that opened the bar closes it."""
