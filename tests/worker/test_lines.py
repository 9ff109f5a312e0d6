"""What a worker's log says of a task that it does not run."""

import logging

from tracker import logs
from tracker.worker.lines import TaskLine


def test_a_task_that_expired_is_one_line_with_its_fields_and_housekeeping_is_none() -> None:
    def said_of(task: str) -> str:
        record = logs.Record(
            "celery.worker.request", logging.INFO, __file__, 1, "Discarding revoked task: %s[%s]", (task, "id-1"), None
        )
        return logs.Text("worker-fetch").format(record) if TaskLine().filter(record) else ""

    line = said_of("tracker.tasks.schedule_fetches")
    assert line.endswith("not run: it expired or was revoked task=schedule_fetches task_id=id-1")
    assert said_of("tracker.tasks.sweep") == ""
