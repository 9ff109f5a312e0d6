"""Flower's settings, which ``python -m tracker flower`` passes to it, and how its page shows a task.

Flower takes every name here that one of its options has.
"""

import os
import re
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

# A restart keeps what Flower knew, and a crash what it knew a minute before. Each time it writes all, about 2 MB.
persistent = True
db = f"{_ours.data_dir.resolve()}/flower"
state_save_interval = 60_000
# Bounds of its memory. A worker that has been away for a day is not coming back.
max_tasks = 5_000
max_workers = 500
purge_offline_workers = 86_400

natural_time = True
tasks_columns = "name,args,state,received,runtime,worker,uuid"

#: The arguments of a task of several markets: its source, if it names one, and its markets.
SEVERAL = re.compile(r"(?:(.*?), )?(\d+ markets: .*)")


def format_task(task: Any) -> Any:
    """Shows ``fetch kraken`` as a task's name, and ``2 markets: kraken:btcusd, kraken:ethusd`` as its arguments.

    A click on a name searches for its words, and Flower refuses words such as "2" that are shorter than three
    characters. ``task``: a copy, for the page alone. In Flower's metrics and search a task keeps its own name. Its
    arguments are written by ``tracker.worker.readable``.
    """
    told = task.args or ""
    several = SEVERAL.fullmatch(told)
    subject, task.args = several.groups("") if several else (told, told)
    task.name = f"{(task.name or '').rpartition('.')[2]} {subject}".strip()
    return task
