"""The command line: one command a stage. Each rule of the workflow is one of these commands."""

import gc
import io
import os
import signal
import sys
import time
from typing import Any

import typer

from tdbench.cli import plans, reports, stages
from tdbench.errors import Stopped, TdbenchError, printable
from tdbench.runtime.signals import end_on_sigterm
from tdbench.runtime.torchrun import rank

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="Does temporal-difference training improve a diffusion model, by how much, at what cost?",
)

for group in (stages.app, plans.app, reports.app):
    app.add_typer(group)

SAY_AFTER_S = 5.0


def main() -> Any:
    """Run the command line: mistakes of the user end in a line on standard error and exit code 2."""
    end_on_sigterm()
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            # A file's name may be bytes that are no text.
            stream.reconfigure(errors="backslashreplace")
    # Large libraries bring very many objects that stay; looking through them for garbage every 700 allocations takes a
    # sixth of the start of a job.
    gc.set_threshold(50_000)
    try:
        return app()
    except TdbenchError as error:
        if rank() > 0:
            # What is wrong for all of several processes is the first one's to say; then torchrun ends the others.
            signal.signal(signal.SIGTERM, signal.SIG_DFL)
            time.sleep(SAY_AFTER_S)
        print(f"tdbench: error: {error}", file=sys.stderr)
    except Stopped as error:
        if rank() == 0:
            print(f"tdbench: {error}", file=sys.stderr)
        sys.exit(error.exit_code)
    except BrokenPipeError:
        # The reader of a pipe went away; keep Python from complaining at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except OSError as error:
        # A file that went away, a full disk, a permission: the operating system's words name it. Of two
        # files the second is the one written to.
        said = f"{error.filename2 or error.filename or 'file'}: {error.strerror or error}"
        print(f"tdbench: error: {printable(said)}", file=sys.stderr)
    except KeyboardInterrupt:
        print("tdbench: interrupted; finished work is kept", file=sys.stderr)
        sys.exit(130)
    finally:
        # What comes now, while Python ends, has nothing more to put away.
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
    sys.exit(2)
