"""What ends work early: a mistake that a user is meant to see, or a wish to stop."""


def printable(text: str) -> str:
    """Text on one line, with nothing in it that a terminal would obey or cannot show: names and files of strangers."""
    return text if text.isprintable() else "".join(c if c.isprintable() else _escaped(c) for c in text)


def _escaped(character: str) -> str:
    return character.encode("unicode_escape").decode("ascii")


class TdbenchError(Exception):
    """One or several mistakes that the reader can correct.

    The message is one line a mistake that names the file, the key, the value and what would be right; what is not
    printable in it is escaped. The command line prints it without a traceback and exits with code 2.
    """

    def __init__(self, *mistakes: str) -> None:
        super().__init__(*mistakes)
        self.mistakes = tuple(printable(mistake) for mistake in mistakes)

    def __str__(self) -> str:
        # Whoever prints an error begins its first line so.
        return "\ntdbench: error: ".join(self.mistakes)


class TrainingDiverged(TdbenchError):
    """The loss, a gradient or a weight became NaN or infinite."""


class Stopped(BaseException):
    """The process was asked to stop (SIGTERM, SIGINT) and has put away what it had.

    Not a `TdbenchError`: a job of several runs must not continue with the next. Not even an `Exception`, as Python's
    KeyboardInterrupt is none: it comes out of a signal's handler anywhere, also where a library's errors are caught.
    """

    def __init__(self, signal_number: int, message: str) -> None:
        super().__init__(message)
        self.exit_code = 128 + signal_number
        """What a shell expects of a process ended by that signal."""
