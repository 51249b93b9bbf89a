"""What ends work early: a mistake that a user is meant to see, or a wish to stop."""


class TdbenchError(Exception):
    """A mistake that its reader can mend.

    The message is one line (or one line a mistake) that names the file, the key, the value and what
    would be right. The command line prints it without a traceback and exits with code 2.
    """


class TrainingDiverged(TdbenchError):
    """The loss, a gradient or a weight became NaN or infinite."""


class Stopped(BaseException):
    """The process was asked to stop (SIGTERM, SIGINT) and has put away what it had.

    Not a `TdbenchError`: a job of several runs must not go on with the next. Not even an `Exception`, as Python's
    KeyboardInterrupt is none: it comes out of a signal's handler anywhere, also where a library's errors are caught.
    """

    def __init__(self, signal_number: int, message: str) -> None:
        super().__init__(message)
        self.exit_code = 128 + signal_number
        """What a shell expects of a process ended by that signal."""
