"""The timer: asks for a reconcile at a fixed interval, whatever else was lost.

Run as `python -m workers.timer`.
"""

from __future__ import annotations

import logging
import signal
import threading

from data.errors import ServiceUnavailableError
from workers.queues import request_reconcile
from workers.settings import Settings

log = logging.getLogger("carpal.timer")


def run(settings: Settings, stop: threading.Event) -> None:
    """Asks for a reconcile at once and then at each interval, until `stop` is set."""
    down = False
    while not stop.is_set():
        try:
            request_reconcile(settings, "timer")
            if down:
                log.info("Redis answers again.")
            down = False
        except ServiceUnavailableError as error:
            if not down:
                log.warning("%s The timer goes on trying.", error)
            down = True
        stop.wait(settings.reconcile_interval_s)


def main() -> None:
    """Runs until SIGTERM or SIGINT."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    run(Settings.load(), stop)


if __name__ == "__main__":
    main()
