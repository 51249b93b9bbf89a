"""A real `mlflow server` on a real PostgreSQL, on this machine, for as long as a test takes."""

import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import psycopg2
import pytest

_UNPRIVILEGED = ("postgres", "nobody")
"""Who runs PostgreSQL, which refuses to be root; the first that there is."""


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


def postgres_binaries() -> Path:
    """The folder of initdb and postgres; the test is skipped where there is none."""
    named = shutil.which("initdb")
    folders = [Path(named).resolve().parent] if named else []
    folders += sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)
    for folder in folders:
        if (folder / "initdb").exists() and (folder / "postgres").exists():
            return folder
    pytest.skip("PostgreSQL is not installed: `apt-get install postgresql`")


def _other_user() -> dict[str, Any]:
    """Arguments of `subprocess` for a process that may not be root's."""
    if os.geteuid() != 0:
        return {}
    import pwd

    known = {entry.pw_name: entry for entry in pwd.getpwall()}
    entry = next(known[name] for name in _UNPRIVILEGED if name in known)
    return {"user": entry.pw_uid, "group": entry.pw_gid, "extra_groups": []}


@contextmanager
def postgres() -> Iterator[str]:
    """The address of an empty database."""
    binaries, other = postgres_binaries(), _other_user()
    # pytest's own folders can be entered by their owner alone.
    folder = Path(tempfile.mkdtemp(prefix="tdbench-postgres-"))
    process = None
    try:
        if other:
            os.chown(folder, other["user"], other["group"])
        environment = os.environ | {"LC_ALL": "C", "HOME": str(folder)}
        port, data = free_port(), folder / "data"
        made = subprocess.run(
            [binaries / "initdb", "-D", data, "-U", "mlflow", "-A", "trust", "-E", "UTF8", "--no-sync"],
            cwd=folder,
            env=environment,
            capture_output=True,
            text=True,
            **other,
        )
        assert made.returncode == 0, made.stderr
        options = {"listen_addresses": "127.0.0.1", "port": port, "unix_socket_directories": folder, "fsync": "off"}
        settings = [part for key, value in options.items() for part in ("-c", f"{key}={value}")]
        with folder.joinpath("log").open("w") as log:
            process = subprocess.Popen(
                [binaries / "postgres", "-D", data, *settings],
                cwd=folder,
                env=environment,
                stdout=log,
                stderr=log,
                **other,
            )
        uri = f"postgresql://mlflow@127.0.0.1:{port}/postgres"
        for _ in range(200):
            assert process.poll() is None, (folder / "log").read_text()
            try:
                psycopg2.connect(uri).close()
                break
            except psycopg2.OperationalError:
                time.sleep(0.05)
        yield uri
    finally:
        if process is not None:
            # Told to end at once, PostgreSQL ends its own processes too.
            process.send_signal(signal.SIGQUIT)
            process.wait(30)
        shutil.rmtree(folder, ignore_errors=True)


class MlflowServer:
    """`mlflow server`, which can be ended and begun again at the same address."""

    def __init__(self, database: str, folder: Path) -> None:
        self.port, self.database, self.folder = free_port(), database, folder
        self.uri = f"http://127.0.0.1:{self.port}"
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.stop()

    def start(self, wait: bool = True) -> None:
        command = [
            sys.executable,
            "-m",
            "mlflow",
            "server",
            "--backend-store-uri",
            self.database,
            "--artifacts-destination",
            str(self.folder / "artifacts"),
            "--host",
            "127.0.0.1",
            "--port",
            str(self.port),
            "--workers",
            "1",
        ]
        with self.folder.joinpath("server.log").open("a") as log:
            env = os.environ | {"MLFLOW_DISABLE_TELEMETRY": "true", "DO_NOT_TRACK": "true"}
            env.pop("MLFLOW_TRACKING_URI", None)
            # A session of its own, so that all its processes can be ended together.
            self._process = subprocess.Popen(
                command, cwd=self.folder, env=env, stdout=log, stderr=log, start_new_session=True
            )
        deadline = time.monotonic() + 60
        while wait and not self._answers():
            assert self._process.poll() is None and time.monotonic() < deadline, self.log()
            time.sleep(0.1)

    def _answers(self) -> bool:
        try:
            with urllib.request.urlopen(f"{self.uri}/health", timeout=2) as answer:
                return bool(answer.status == 200)
        except (urllib.error.URLError, OSError):
            return False

    def log(self) -> str:
        return (self.folder / "server.log").read_text()[-4000:]

    def stop(self) -> None:
        """End it without a farewell."""
        if self._process is not None:
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait(30)
            self._process = None
