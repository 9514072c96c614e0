"""The backend's log: one line per record, whatever came from outside, and no secrets.

The access log is written here and not by gunicorn, whose lines hold either the query, which may
carry a token, or the path with its percent escapes undone, which may carry a line break.
"""

from __future__ import annotations

import logging
import re

LINE_FORMAT = "%(asctime)s %(process)d %(levelname)s %(name)s %(message)s"
CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")

OUR_LOGGERS = ("carpal", "data", "labeling_config", "ml_backend", "trainer", "workers")

access_log = logging.getLogger("carpal.access")


class OneLineFormatter(logging.Formatter):
    """Writes control characters in messages as escapes; tracebacks keep their lines."""

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802 name of the base class
        """Returns the line of a record, without its traceback."""
        return CONTROL.sub(lambda found: f"\\x{ord(found[0]):02x}", super().formatMessage(record))


def configure_logging() -> None:
    """Sends the log of this process to stderr; once, however often it is called.

    Our own records from level INFO, those of libraries from level WARNING.
    """
    root = logging.getLogger()
    if any(isinstance(handler.formatter, OneLineFormatter) for handler in root.handlers):
        return
    handler = logging.StreamHandler()
    handler.setFormatter(OneLineFormatter(LINE_FORMAT))
    root.addHandler(handler)
    root.setLevel(logging.WARNING)
    for name in OUR_LOGGERS:
        logging.getLogger(name).setLevel(logging.INFO)
