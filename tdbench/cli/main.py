"""The command line. Each rule of the workflow runs one of its commands."""

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
    """Run the command line. A mistake of the user prints to standard error and exits with code 2."""
    end_on_sigterm()
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            # A file name may hold bytes that are not valid text.
            stream.reconfigure(errors="backslashreplace")
    # Large libraries create very many long-lived objects. Collecting garbage every 700 allocations takes a sixth of the
    # start-up time of a job.
    gc.set_threshold(50_000)
    try:
        return app()
    except TdbenchError as error:
        if rank() > 0:
            # All processes have this error; the first one prints it, and then torchrun ends the others.
            signal.signal(signal.SIGTERM, signal.SIG_DFL)
            time.sleep(SAY_AFTER_S)
        print(f"tdbench: error: {error}", file=sys.stderr)
    except Stopped as error:
        if rank() == 0:
            print(f"tdbench: {error}", file=sys.stderr)
        sys.exit(error.exit_code)
    except BrokenPipeError:
        # The reader of the pipe has closed it; stop Python from reporting that at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except OSError as error:
        # A deleted file, a full disk or a missing permission: the operating system's text is clear. If the error names
        # two files, the second is the one written to.
        said = f"{error.filename2 or error.filename or 'file'}: {error.strerror or error}"
        print(f"tdbench: error: {printable(said)}", file=sys.stderr)
    except KeyboardInterrupt:
        print("tdbench: interrupted; finished work is kept", file=sys.stderr)
        sys.exit(130)
    finally:
        # A signal while Python exits has nothing left to save.
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
    sys.exit(2)
