"""Exceptions that end work early: a mistake to show to the user, or a request to stop."""


def printable(text: str) -> str:
    """``text`` on one line, with unprintable characters escaped: untrusted names may hold terminal sequences."""
    return text if text.isprintable() else "".join(c if c.isprintable() else _escaped(c) for c in text)


def _escaped(character: str) -> str:
    return character.encode("unicode_escape").decode("ascii")


class TdbenchError(Exception):
    """One or several mistakes that the reader can correct.

    The message has one line per mistake, with the file, the key, the value and what would be right. Unprintable
    characters are escaped. The command line prints it without a traceback and exits with code 2.
    """

    def __init__(self, *mistakes: str) -> None:
        super().__init__(*mistakes)
        self.mistakes = tuple(printable(mistake) for mistake in mistakes)

    def __str__(self) -> str:
        # The caller prints this prefix before the first line.
        return "\ntdbench: error: ".join(self.mistakes)


class TrainingDiverged(TdbenchError):
    """The loss, a gradient or a weight became NaN or infinite."""


class Stopped(BaseException):
    """The process was asked to stop (SIGTERM, SIGINT) and has saved its work.

    It is not a `TdbenchError`, because a job of several runs must not continue with the next. Like KeyboardInterrupt,
    it is not an `Exception` either: a signal handler can raise it inside code that catches the errors of a library.
    """

    def __init__(self, signal_number: int, message: str) -> None:
        super().__init__(message)
        self.exit_code = 128 + signal_number
        """The exit code that a shell expects after that signal."""
