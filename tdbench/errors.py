"""The one exception that a user of tdbench is meant to see."""


class TdbenchError(Exception):
    """A mistake that its reader can mend.

    The message is one line (or one line a mistake) that names the file, the key, the value and what
    would be right. The command line prints it without a traceback and exits with code 2.
    """


class TrainingDiverged(TdbenchError):
    """The loss, a gradient or a weight became NaN or infinite."""
