"""The server of `tests.preloaded`: ``server.py ADDRESS PYTHON NAME=MODULE ...``; it ends with its standard input."""

import atexit
import contextlib
import gc
import importlib
import json
import os
import random
import runpy
import select
import signal
import socket
import sys
import threading
import traceback
from pathlib import Path

import numpy as np

# What the commands import when they are called, and imports as long.
HEAVY = (
    "torch._dynamo",
    "diffusers.models.unets.unet_2d",
    "tdbench.workflow.flow",
    "tdbench.workflow.stages",
    "tdbench.evaluation.scores",
    "tdbench.evaluation.classifier",
    "tdbench.reporting.report",
    "tdbench.reporting.figures",
    "tdbench.reporting.page.html",
    "tdbench.reporting.compare",
    "tdbench.reporting.tracking.track",
    "tdbench.reporting.crate.export",
)


def main() -> None:
    address, python, *given = sys.argv[1:]
    programs = dict(one.split("=") for one in given)
    sys.path[0] = str(Path.cwd())
    for name in (programs["tdbench"], programs["snakemake"], *HEAVY):
        importlib.import_module(name)
    # A collection in a fork would copy all of their pages.
    gc.collect()
    gc.freeze()
    server = socket.socket(socket.AF_UNIX)
    server.bind(address)
    server.listen(64)
    # Those who wait for the programs end unseen.
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    print("ready", flush=True)
    while True:
        ready, _, _ = select.select([server, sys.stdin], [], [])
        if sys.stdin in ready:
            return
        connection, _ = server.accept()
        if os.fork() == 0:
            server.close()
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            call, streams = _received(connection)
            child = os.fork()
            if child == 0:
                connection.close()
                return _become(programs, python, call, streams)
            _follow(child, connection, streams)
        connection.close()


def _received(connection: socket.socket) -> tuple[dict[str, object], list[int]]:
    """A call, and its standard streams."""
    head, streams, _, _ = socket.recv_fds(connection, 8, 3)
    size, content = int.from_bytes(head, "big"), b""
    while len(content) < size:
        content += connection.recv(size - len(content))
    return json.loads(content), streams


def _follow(child: int, connection: socket.socket, streams: list[int]) -> None:
    """Wait for a program and say how it ended. If the caller is killed, so is the program."""
    for stream in streams:
        os.close(stream)
    connection.sendall(f"{child}\n".encode())
    ended = os.pidfd_open(child)
    ready, _, _ = select.select([ended, connection], [], [])
    if ended not in ready:
        os.kill(child, signal.SIGKILL)
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    with contextlib.suppress(BrokenPipeError):
        connection.sendall(f"{code}\n".encode())
    os._exit(0)


def _become(programs: dict[str, str], python: str, call: dict[str, object], streams: list[int]) -> None:
    """Be the program, from here to the end of this process."""
    for target, stream in enumerate(streams):
        os.dup2(stream, target)
        os.close(stream)
    # What a Python of its own would have: streams of the kind that these are, interpreter, environment, chance.
    sys.stdin = sys.__stdin__ = open(0, closefd=False)  # noqa: SIM115
    sys.stdout = sys.__stdout__ = open(1, "w", buffering=1 if os.isatty(1) else -1, closefd=False)  # noqa: SIM115
    sys.stderr = sys.__stderr__ = open(2, "w", buffering=1, errors="backslashreplace", closefd=False)  # noqa: SIM115
    os.environ.clear()
    os.environ.update(call["environment"])  # type: ignore[call-overload]
    os.chdir(str(call["folder"]))
    sys.argv, sys.executable = list(call["argv"]), python  # type: ignore[call-overload]
    random.seed()
    np.random.seed()
    code: object = 0
    try:
        if sys.argv[0] == "script":
            sys.argv = sys.argv[1:]
            runpy.run_path(sys.argv[0], run_name="__main__")
        else:
            importlib.import_module(programs[sys.argv[0]]).main()
    except SystemExit as end:
        code = end.code
    except BaseException:
        traceback.print_exc()
        code = 1
    if code is not None and not isinstance(code, int):
        print(code, file=sys.stderr)
        code = 1
    _end(code or 0)


def _end(code: int) -> None:
    """End as Python does, but for taking apart every module, which takes ten seconds after so many imports."""
    threading._shutdown()  # type: ignore[attr-defined]
    atexit._run_exitfuncs()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


if __name__ == "__main__":
    main()
