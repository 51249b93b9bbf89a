"""Real commands without the wait for their imports.

Python needs longer to import torch, torchvision and Snakemake than the small experiments of these tests need to run.
Here a server imports the programs once, and each call is a fork of it. A call runs the same code on the same files,
in a process of its own, with its own exit code, output and signals. `Preloaded.folder` holds such commands by the
names `tdbench` and `snakemake`; Snakemake's rules find them there too.

A fork cannot show everything. Use a Python of its own to test imports, independence of the hash seed, and variables
that libraries read when they are imported (CUDA_VISIBLE_DEVICES).
"""

import atexit
import os
import shutil
import subprocess
import sys
import tempfile
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parents[2]
PROGRAMS = {"tdbench": "tdbench.cli.main", "snakemake": "snakemake.cli", "script": ""}
"""Command -> module whose `main` it calls; ``script FILE ARGUMENTS`` runs a Python file."""
_CLIENT = Path(__file__).with_name("client.py")
_SERVER = Path(__file__).with_name("server.py")


class Preloaded:
    """A server of the checkout's programs, and the folder of their commands."""

    def __init__(self) -> None:
        # Short: the address of a socket has at most 108 characters.
        self.folder = Path(tempfile.mkdtemp(prefix="tdbench-"))
        address = self.folder / "socket"
        for name in PROGRAMS:
            # Without site: it starts in a hundredth of a second.
            self._write(
                name, f"#!{sys.executable} -IS\n", f'ADDRESS, NAME = "{address}", "{name}"\n', _CLIENT.read_text()
            )
        # What a program finds as its own interpreter: its folder is the one in which `tdbench` is looked for.
        # Snakemake calls `python -m snakemake` for its jobs on other machines, and a training in several processes
        # calls `python -m tdbench` for each.
        modules = [
            f'if [ "$1 $2" = "-m {name}" ]; then shift 2; exec "{self.folder / name}" "$@"; fi\n'
            for name in ("snakemake", "tdbench")
        ]
        self._write("python", "#!/bin/sh\n", *modules, f'exec "{sys.executable}" "$@"\n')
        self._process = subprocess.Popen(
            [
                sys.executable,
                str(_SERVER),
                str(address),
                str(self.folder / "python"),
                *(f"{name}={module}" for name, module in PROGRAMS.items()),
            ],
            cwd=ROOT,
            env=os.environ | {"PYTHONPATH": str(ROOT)},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        atexit.register(self.close)
        assert self._process.stdout is not None
        assert self._process.stdout.readline() == "ready\n"

    def _write(self, name: str, *parts: str) -> None:
        path = self.folder / name
        path.write_text("".join(parts))
        path.chmod(0o755)

    def program(self, name: str) -> str:
        """The command's path; ``name`` is a key of `PROGRAMS`."""
        return str(self.folder / name)

    @property
    def path(self) -> str:
        """PATH with these commands in front, then those of this Python."""
        return os.pathsep.join([str(self.folder), str(Path(sys.executable).parent), os.environ["PATH"]])

    def close(self) -> None:
        """End the server; programs that run go on."""
        self._process.terminate()
        self._process.communicate()
        shutil.rmtree(self.folder, ignore_errors=True)


@cache
def preloaded() -> Preloaded:
    """The server, started when it is first needed; one serves all tests of a process."""
    return Preloaded()
