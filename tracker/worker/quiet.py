"""While the store or the broker is away or refuses writes, a log gets one line, not a stack for each failure."""

import logging

from redis import RedisError

from tracker.logs import OneLine
from tracker.worker.publishing import BROKER_ERRORS


class Quiet(OneLine):
    """Knows the failures of the broker too."""

    def __init__(self) -> None:
        super().__init__(RedisError, *BROKER_ERRORS)

    def outages_of(self, record: logging.LogRecord) -> tuple[type[BaseException], ...]:
        if record.name.startswith("celery.worker.consumer"):  # it speaks with the broker alone
            return (*self.outages, OSError)
        return self.outages
