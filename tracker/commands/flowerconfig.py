"""Flower's settings, which ``python -m tracker flower`` passes to it, and how its page shows a task.

Flower takes every name here that one of its options has.
"""

import os
from typing import Any

from tracker.settings import settings as read

_ours = read()

address = _ours.flower_bind
port = _ours.flower_port
url_prefix = _ours.flower_prefix
# Who may log in. A value may come from a file, which Flower does not read.
basic_auth = _ours.flower_logins.split(",") if _ours.flower_logins else []
auth = _ours.flower_emails
auth_provider = _ours.flower_provider
oauth2_key = _ours.flower_oauth_key
oauth2_secret = _ours.flower_oauth_secret
oauth2_redirect_uri = _ours.flower_oauth_redirect
os.environ["FLOWER_OAUTH2_OKTA_BASE_URL"] = _ours.flower_okta_url  # an option of the environment alone

# A restart keeps what Flower knew ten seconds before.
persistent = True
db = f"{_ours.data_dir.resolve()}/flower"
state_save_interval = 10_000
# Bounds of its memory. A worker that has been away for a day is not coming back.
max_tasks = 5_000
max_workers = 500
purge_offline_workers = 86_400

natural_time = True
tasks_columns = "name,args,state,received,runtime,worker,uuid"


def format_task(task: Any) -> Any:
    """Shows ``fetch kraken, 2 markets`` as a task's name, and the markets as its arguments.

    ``task``: a copy, for the page alone. In Flower's metrics and search a task keeps its own name. Its arguments are
    written by ``tracker.worker.readable``.
    """
    short, _, markets = (task.args or "").partition(": ")
    task.name = f"{(task.name or '').removeprefix('tracker.tasks.')} {short}".strip()
    task.args = markets or short
    return task
