"""Downloads published files once into a cache and checks their checksums."""

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
"""Environment variable that names the cache folder."""
_HERE = (("http", "127.0.0.1"), ("http", "localhost"))
_TIMEOUTS_S = (15, 60)  # to connect, between two pieces


class Published(NamedTuple):
    """A published file.

    Attributes
    ----------
    url : str
        The address; it ends in the file name.
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
    """Return the cache folder: the value of `CACHE_VARIABLE`, otherwise ``tdbench`` in the user's cache folder."""
    chosen = os.environ.get(CACHE_VARIABLE)
    return Path(chosen) if chosen else user_cache_path("tdbench")


def published_weights(file: Published, needed_by: str, key: str) -> Path:
    """Return a file of weights in ``weights`` of the cache. It is downloaded if missing, and its checksum is verified.

    Parameters
    ----------
    needed_by : str
        The first words of the advice, such as ``distance 'lpips' needs``.
    key : str
        Key of the experiment file that can name a file of the user instead.

    Raises
    ------
    TdbenchError
        If the download fails; says which file to put where.
    """
    folder = cache_folder() / "weights"
    advice = (
        f"{needed_by} this file ({file.size / 1e6:.1f} MB, SHA-256 {file.sha256}): "
        f"download it by other means and put it at {folder / file.name}, or give its path in {key}"
    )
    return fetch(file, folder, advice)


def write_weights_record(path: Path, library: str, file: Published) -> None:
    """Write to the results which published file was used.

    The record has no time and no path, so that another download does not make Snakemake repeat any job.
    """
    write_json(path, {"library": library, "file": file.name, "url": file.url, "sha256": file.sha256})


def fetch(file: Published, folder: Path, advice: str) -> Path:
    """Return the file in ``folder``. It is downloaded if missing, and its checksum is verified.

    Parameters
    ----------
    advice : str
        What the user can do instead; the messages end with it.

    Raises
    ------
    TdbenchError
        If the existing file has another checksum, if the download fails, or if it cannot be stored.
    """
    path = folder / file.name
    if path.is_file():
        _check(path, file, advice)
        return path
    # pooch imports requests, which is slow; import it only for a download.
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
                # Checks the target of each redirect before it is followed.
                hooks={"response": lambda answer, *_, **__: check_address(answer.headers.get("location", file.url))},
            )
            pooch.retrieve(file.url, f"sha256:{file.sha256}", fname=file.name, path=folder, downloader=downloader)
    except RequestException as error:
        # The full error chain of requests fills a screen.
        raise TdbenchError(f"{file.url}: cannot be downloaded ({type(error).__name__}); {advice}") from error
    except ValueError as error:
        raise TdbenchError(f"{file.url}: the downloaded file has the wrong checksum; {advice}") from error
    except OSError as error:
        raise TdbenchError(
            f"{folder}: cannot store a download ({error.strerror or error}); set {CACHE_VARIABLE} to a writable folder"
        ) from error
    return path


def check_address(url: str) -> None:
    """Reject an address without encryption and authentication. A bare path is a redirect within the same site.

    Raises
    ------
    TdbenchError
        If it is neither https nor on this machine.
    """
    parts = urlsplit(url)
    if parts.scheme not in ("https", "") and (parts.scheme, parts.hostname) not in _HERE:
        raise TdbenchError(f"{url}: files are downloaded over https only")


def _check(path: Path, file: Published, advice: str) -> None:
    """Check the checksum of an existing file. The file is never changed, because the user may have put it there."""
    found = sha256(path)
    if found != file.sha256:
        raise TdbenchError(
            f"{path}: not the published {file.name}: its SHA-256 is {found}; delete it to download it again, "
            f"or {advice}"
        )


class _DownloadBar:
    """The interface that pooch expects of a progress bar. At the end pooch resets it and counts all bytes again."""

    def __init__(self, bar: "tqdm[None]", total: int) -> None:
        self.bar, self.total, self.whole = bar, total, False

    def update(self, count: int) -> None:
        if not self.whole:
            self.bar.update(count)

    def reset(self) -> None:
        self.whole = True

    def close(self) -> None:
        """Do nothing: the block that opened the bar closes it."""
