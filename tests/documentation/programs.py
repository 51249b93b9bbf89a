"""A server of programs: started as a script, it imports them once, and each call is a fork of it.

Starting Python with torch, pandas and Snakemake takes longer than most of what the documented commands then do. A call
is a line of JSON on standard input, ``{"argv", "folder", "environment", "output"}``; the answer is the exit code.
"""

import importlib
import json
import os
import sys
import traceback

PROGRAMS = {"tdbench": "tdbench.cli.main", "snakemake": "snakemake.cli"}
# What their commands import when they are called
HEAVY = ("tdbench.workflow.flow", "tdbench.workflow.stages", "tdbench.reporting.report", "tdbench.reporting.compare")


def _call(argv: list[str], folder: str, environment: dict[str, str], output: str) -> None:
    """Be the program, in a process of its own."""
    handle = os.open(output, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    for stream in (1, 2):
        os.dup2(handle, stream)
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(environment)
    sys.argv = argv
    sys.path[0] = folder
    code: object = 1
    try:
        importlib.import_module(PROGRAMS[argv[0]]).main()
        code = 0
    except SystemExit as end:
        code = end.code
    except BaseException:
        traceback.print_exc()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code if isinstance(code, int) else int(code is not None))


def main() -> None:
    for name in (*PROGRAMS.values(), *HEAVY):
        importlib.import_module(name)
    print("ready", flush=True)
    for line in sys.stdin:
        child = os.fork()
        if child == 0:
            _call(**json.loads(line))
        print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)


if __name__ == "__main__":
    main()
