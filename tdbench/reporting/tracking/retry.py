"""Retries while a server restarts; one clear error if it does not return."""

import re
import time
from collections.abc import Callable
from typing import TypeVar

import requests
from mlflow.exceptions import MlflowException
from sqlalchemy.exc import SQLAlchemyError

from tdbench.errors import TdbenchError
from tdbench.reporting.tracking.uri import without_password
from tdbench.runtime.progress import say

WAITS_S = (1, 2, 4, 8, 16, 30)
"""Seconds before each retry."""
_PASSING = {408, 429, 500, 502, 503, 504}
_LOST = re.compile(
    r"\[Errno \d+\] [\w ]+|Name or service not known|timed out|Remote end closed connection without response"
)
_PASSWORD = re.compile(r"(?<=://)([^/@\s:]*):([^/@\s]+)@")

Result = TypeVar("Result")


def patiently(uri: str, attempt: Callable[[Callable[[], None]], Result]) -> Result:
    """Return the result of ``attempt``; retry while the store at ``uri`` has a temporary failure.

    Parameters
    ----------
    attempt : callable
        Does all the work and skips what an earlier try has done. Its argument is a function to call after progress,
        which resets the retries.

    Raises
    ------
    TdbenchError
        If the store refuses, or still fails after about a minute without progress; the message names the address.
    """
    waits = iter(WAITS_S)

    def advanced() -> None:
        nonlocal waits
        waits = iter(WAITS_S)

    while True:
        try:
            return attempt(advanced)
        except (MlflowException, SQLAlchemyError, requests.RequestException, ImportError) as error:
            where, reason = without_password(uri), _reason(error, uri)
            wait = next(waits, None) if _may_pass(error) else None
            if wait is None:
                raise TdbenchError(
                    f"MLflow at {where}: {reason}; check MLFLOW_TRACKING_URI, or unset it for a local file; runs "
                    "already written are kept, and the same command continues"
                ) from error
            say(f"MLflow at {where}: {reason}; trying again in {wait} s")
        time.sleep(wait)


def _may_pass(error: Exception) -> bool:
    """Whether the same call may succeed later."""
    if isinstance(error, requests.HTTPError):
        return error.response is not None and error.response.status_code in _PASSING
    if isinstance(error, requests.RequestException):
        return isinstance(error, requests.ConnectionError | requests.Timeout)
    if not isinstance(error, MlflowException):
        return False
    if isinstance(error.__cause__, SQLAlchemyError):
        # A database file without a server can be locked by another process.
        return "locked" in str(error)
    return error.get_http_status_code() in _PASSING


def _reason(error: Exception, uri: str) -> str:
    """The error message in one line, without a password."""
    text = str(error).replace(uri, without_password(uri))
    lost = _LOST.search(text)
    if lost and ("Max retries exceeded" in text or "Connection aborted" in text):
        return f"cannot be reached ({lost[0]})"
    line = next((line for line in text.splitlines() if line.strip()), type(error).__name__)
    return _PASSWORD.sub(r"\1:***@", line.strip())
