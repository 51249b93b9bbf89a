"""Fixtures that several tests share."""

import os
import shutil
import subprocess
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from filelock import FileLock

from tdbench.data.archive import ImageSet, read_archive, write_archive
from tdbench.data.sources import digits
from tdbench.experiment.extractors import DEFAULT_LIBRARIES
from tdbench.experiment.load import load_plan
from tdbench.experiment.plan import Plan
from tdbench.records.layout import DatasetLayout
from tdbench.runtime.files import write_json
from tests.robustness.tally import COUNTS

ROOT = Path(__file__).parents[1]
TINY = ROOT / "tests" / "workflow" / "tiny.yaml"
MAKE_RESULTS = {"prepared", "made", "finished", "stages_done", "written"}
"""Fixtures that train or draw for seconds: a test that needs one is slow without the marker."""
LONGEST = (
    "tests/reporting/",
    "tests/workflow/",
    "tests/robustness/",
    "tests/reliability/",
    "tests/cluster/",
    "tests/runtime/test_distributed.py",
    "tests/documentation/",
    "tests/training/test_checkpoint.py",
)
"""What takes a minute or more, the longest first."""
ASKED_BY_PROVENANCE = {"git", "nvidia-smi", "uname", "lscpu"}
"""Programs that answer at once, and that every record asks."""


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """Where several processes share the tests, those of a file, or of a folder with fixtures of its own, stay together.

    What such fixtures make takes minutes, and would be made in each process.
    """
    from xdist.scheduler import LoadScopeScheduling

    class Together(LoadScopeScheduling):
        """A process takes all tests of a file or folder."""

        def _split_scope(self, nodeid: str) -> str:
            file = config.rootpath / nodeid.split("::")[0]
            shared = file.parent != ROOT / "tests" and file.with_name("conftest.py").exists()
            return str(file.parent if shared else file)

    return Together(config, log)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--quick", action="store_true", help="leave out tests marked slow, and refuse to start processes")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Iterator[Any]:
    """With ``--quick``, fail a test that starts a process: it needs the marker ``slow``."""
    if not item.config.getoption("--quick"):
        return (yield)
    begin = subprocess.Popen.__init__

    def refuse(process: Any, program: Any, *given: Any, **named: Any) -> None:
        name = Path(str(program if isinstance(program, str) else next(iter(program)))).name.split()[0]
        if name not in ASKED_BY_PROVENANCE:
            # No exception that the code under test could catch.
            pytest.fail(f"starts {name}: mark the test with pytest.mark.slow")
        begin(process, program, *given, **named)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(subprocess.Popen, "__init__", refuse)
        return (yield)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Begin with what takes longest in one process: were it begun last, the other processes would wait for it."""
    if config.getoption("--quick"):
        slow = [item for item in items if _is_slow(item)]
        config.hook.pytest_deselected(items=slow)
        items[:] = [item for item in items if item not in set(slow)]
    items.sort(
        key=lambda item: next((i for i, name in enumerate(LONGEST) if item.nodeid.startswith(name)), len(LONGEST))
    )


def _is_slow(item: pytest.Item) -> bool:
    return item.get_closest_marker("slow") is not None or not MAKE_RESULTS.isdisjoint(getattr(item, "fixturenames", ()))


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Hand the counts of bad inputs to the process that prints the summary, where several share the tests."""
    if hasattr(session.config, "workeroutput"):
        session.config.workeroutput["bad inputs"] = {name: dict(found) for name, found in COUNTS.items()}


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any) -> None:
    for name, found in getattr(node, "workeroutput", {}).get("bad inputs", {}).items():
        COUNTS.setdefault(name, Counter()).update(found)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    if not COUNTS:
        return
    terminalreporter.section("bad inputs")
    rows = [(name, found["refused"], found["taken"]) for name, found in COUNTS.items()]
    rows.append(("all", sum(row[1] for row in rows), sum(row[2] for row in rows)))
    terminalreporter.write_line(f"{'reader':<34}{'inputs':>8}{'refused':>9}{'taken':>8}")
    for name, refused, taken in rows:
        terminalreporter.write_line(f"{name:<34}{refused + taken:>8,}{refused:>9,}{taken:>8,}")


@pytest.fixture(scope="session")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The digits as an archive."""
    path = tmp_path_factory.mktemp("data") / "digits.zip"
    write_archive(path, *digits(None))
    return path


@pytest.fixture(scope="session")
def images(archive: Path) -> ImageSet:
    return read_archive(archive)


@pytest.fixture(scope="session")
def prepared(archive: Path, images: ImageSet, tmp_path_factory: pytest.TempPathFactory) -> DatasetLayout:
    """The digits with all that trainings and scores need: for reading, or for `results_with_data`.

    Made once, also where several processes share the tests.
    """
    # Libraries that take seconds to import.
    from tdbench.evaluation.classifier import train_classifier
    from tdbench.evaluation.scores import write_references

    base = tmp_path_factory.getbasetemp()
    folder = base.parent if "PYTEST_XDIST_WORKER" in os.environ else base
    files = DatasetLayout(folder / "prepared", "digits")
    with FileLock(folder / "prepared.lock"):
        if not files.reference("classifier", DEFAULT_LIBRARIES[-1]).exists():
            files.folder.mkdir(parents=True, exist_ok=True)
            shutil.copy(archive, files.archive)
            write_json(files.summary, images.summary())
            train_classifier(images, files.classifier, files.classifier_report, 1)
            write_references(images, "classifier", 256, files, 1)
    return files


def results_with_data(results: Path, prepared: DatasetLayout) -> Path:
    """A folder of results that has the digits and nothing else yet."""
    shutil.copytree(prepared.folder, DatasetLayout(results, "digits").folder)
    return results


@pytest.fixture
def serve(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[Path], ThreadingHTTPServer]]:
    """Serves a folder on this machine, beside any proxy, as long as the test takes."""

    class Quiet(SimpleHTTPRequestHandler):
        def log_message(self, *_: object) -> None: ...

    begun: list[tuple[ThreadingHTTPServer, threading.Thread]] = []
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")

    def begin(folder: Path) -> ThreadingHTTPServer:
        server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(folder)))
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        begun.append((server, thread))
        return server

    yield begin
    for server, thread in begun:
        server.shutdown()
        server.server_close()
        thread.join()


@pytest.fixture(scope="session")
def tiny() -> Plan:
    """The experiment that the end-to-end tests run."""
    return load_plan(str(TINY))
