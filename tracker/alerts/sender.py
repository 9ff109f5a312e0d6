"""Sends the rows of the outbox, without Celery: one row at a time, at least once, as its channel wants it.

A row's task may run twice, late or not at all. So a row is claimed before it is sent and settled afterwards, and a row
that is still pending when its time comes is published again.
"""

import logging
import random
from collections.abc import Callable, Mapping

from tracker import counts
from tracker.alerts import digests, links
from tracker.alerts.channels import ConfiguredChannel
from tracker.alerts.deliveries import DIED
from tracker.alerts.late import LATE, MOST
from tracker.alerts.outbox import Outbox
from tracker.alerts.waiting import PROBE
from tracker.errors import ChannelError
from tracker.models import DIGEST, FIRING, REMINDER, RESOLVED, TEST, Alert, Attempt, Delivery, Notice

log = logging.getLogger(__name__)

#: Seconds between the tries of a row. They double each time, from FIRST to LONGEST.
FIRST, LONGEST = 1, 600
#: A success wakes this many waiting rows of its channel. Each of their successes wakes as many.
WOKEN = 20
#: A row is dead after so many workers have died while they sent it.
DEATHS = 8
#: A receiver's Retry-After counts up to so many seconds.
LONGEST_ASKED = 3_600
#: A claim lasts so many seconds longer than the longest send.
MARGIN = 5
#: A resolved notice waits for its firing one. It looks again after so many seconds, at least and at most.
AFTER_FIRING, AFTER_FIRING_AT_MOST = 5, PROBE
#: So many characters of a channel's answer are kept.
DETAIL = 300


def deliver(
    outbox: Outbox,
    outlets: Mapping[str, ConfiguredChannel],
    id: str,
    complete: Callable[[Notice, ConfiguredChannel, bool], Notice] = lambda notice, *_: notice,
) -> None:
    """Sends the notice of the row ``id``, if this task can claim it and it is due, and notes the outcome.

    ``complete`` adds to the notice what it has besides its text; its last argument: whether this is the first try.
    """
    outlet = outlets.get(id.split("/")[1])
    claimed = outbox.deliveries.claim(id, (outlet.channel.PATIENCE if outlet else 0) + MARGIN)
    if not claimed:
        return
    row, token = claimed
    if _deaths(row) >= DEATHS:
        _give_up(outbox, row, f"{DEATHS} workers died in the midst of it")
    elif outlet is None:
        _give_up(outbox, row, f"there is no channel {row.channel} any more: add it and redrive")
    elif notice := _due_notice(outbox, outlet, row, token):
        _send(outbox, outlet, row, token, complete(notice, outlet, not row.tries))
    elif row.tries:
        _see_to_a_probe(outbox, row)


def due(outbox: Outbox, count: int) -> list[str]:
    """Up to ``count`` ids of due rows. Rows that a silence held back are due once it has ended."""
    deliveries, now = outbox.deliveries, outbox.deliveries.now()
    outbox.silences.tell(now)
    if holding := deliveries.held.holding():
        for silence in holding - {silence.id for silence in outbox.silences.all(now)}:
            deliveries.held.release(silence)
    return deliveries.due(count)


def backoff(tries: int) -> float:
    """Seconds to wait after ``tries`` failed tries: doubled each time, with jitter."""
    doubled: int = min(FIRST * 2 ** (tries - 1), LONGEST)
    return doubled * random.uniform(0.75, 1.25)


def trial(channel: str, now: float) -> Notice:
    """The notice that ``channels test`` sends."""
    text = f"This is a test of the channel {channel}: notices of alerts will look like this."
    return Notice(f"test:{channel}:{now:.0f}", f"test:{channel}", TEST, "info", "Test", text, now)


def _due_notice(outbox: Outbox, outlet: ConfiguredChannel, row: Delivery, token: str) -> Notice | None:
    """The notice to send now; None if not, and the row's state then says why."""
    if row.event == DIGEST:
        return _digest(outbox, row)
    alert = outbox.get(row.alert)
    wanted = {FIRING: _firing_is_wanted, REMINDER: _reminder_is_wanted, RESOLVED: _resolved_is_wanted}[row.event]
    if not alert:
        _give_up(outbox, row, "its alert is no longer stored")
    elif not wanted(outbox, alert, row, token):
        return None
    elif outlet.most and outbox.deliveries.above(outlet.name, outlet.most, outlet.window):
        outbox.deliveries.digest(row, token, outlet.window)
    else:
        return _notice(alert, row)
    return None


def _firing_is_wanted(outbox: Outbox, alert: Alert, row: Delivery, token: str) -> bool:
    """Whether to send a firing notice now; if not, the row says why. A silence holds it back until it ends.

    A row with a wait is sent if nobody has acknowledged the alert by then. When a silence ends, the wait begins anew.
    ``alert`` was read after the claim. If it is resolved after that, its resolved notice finds this row pending and
    waits for it.
    """
    if alert.state == RESOLVED and (row.state == "silenced" or row.wait or alert.late):
        _end(outbox, row, "silenced", f"it was over before {'its wait' if row.wait else 'the silence'} ended")
        return False
    if _is_silenced(outbox, alert, row, token):
        return False
    if row.wait and (alert.acknowledged or row.state == "silenced"):
        outbox.deliveries.put_off(row, token, outbox.deliveries.now() + row.wait)
        return False
    return True


def _reminder_is_wanted(outbox: Outbox, alert: Alert, row: Delivery, token: str) -> bool:
    """Whether to send a reminder now: its wait after the last notice, while the alert fires unacknowledged.

    An acknowledgement may be taken back, so it only puts the reminder off.
    """
    if alert.state == RESOLVED:
        _end(outbox, row, "silenced", "it is over")
        return False
    firing, now = outbox.deliveries.get(Delivery(row.alert, row.channel, FIRING).id), outbox.deliveries.now()
    is_told = firing is not None and firing.state in ("delivered", "digested")
    after = firing.attempts[-1].at + row.wait if firing and is_told else now + row.wait
    if after > now or alert.acknowledged:
        outbox.deliveries.put_off(row, token, max(after, now + row.wait if alert.acknowledged else 0))
        return False
    return not _is_silenced(outbox, alert, row, token)


def _is_silenced(outbox: Outbox, alert: Alert, row: Delivery, token: str) -> bool:
    """Whether a silence holds ``row`` back; it is released when the silence ends."""
    silence = outbox.silences.covering(alert, outbox.deliveries.now())
    if silence:
        outbox.deliveries.hold(row, token, silence.id, f"by silence {silence.id}: {silence.reason}"[:DETAIL])
    return silence is not None


def _resolved_is_wanted(outbox: Outbox, alert: Alert, row: Delivery, token: str) -> bool:
    """Whether to send a resolved notice now: after the firing one. Silences do not hold it back.

    A failed try of the firing notice may have reached the receiver, so it counts as sent.
    """
    firing, now = outbox.deliveries.get(Delivery(row.alert, row.channel, FIRING).id), outbox.deliveries.now()
    if firing and firing.state == "pending":
        next_try = firing.next_try if firing.tries and firing.next_try else now
        outbox.deliveries.put_off(row, token, min(max(next_try, now + AFTER_FIRING), now + AFTER_FIRING_AT_MOST))
    elif not firing or (firing.state in ("dead", "silenced") and not firing.tries):
        _end(outbox, row, "silenced", "nobody was told that it fires")
    else:
        return True
    return False


def _send(outbox: Outbox, outlet: ConfiguredChannel, row: Delivery, token: str, notice: Notice) -> None:
    deliveries = outbox.deliveries
    try:
        said = links.masked(outlet.channel.send(notice))
    except ChannelError as error:
        failed = error
    except Exception as error:  # our own fault, or the time limit; its text may hold a secret
        log.error("%s: the channel failed: %s", row.id, type(error).__name__)
        failed = ChannelError(f"the channel failed: {type(error).__name__}")
    else:
        done = Attempt(deliveries.now(), True, None, said[:DETAIL])
        if row.event == REMINDER:
            deliveries.repeat(row, token, done)
        else:
            deliveries.settle(row, "delivered", done)
        deliveries.wake(row, WOKEN)
        counts.DELIVERIES.labels(row.channel, "delivered").inc()
        return
    attempt = Attempt(deliveries.now(), False, failed.status, links.masked(str(failed))[:DETAIL])
    if failed.permanent:
        log.error("%s: given up after %d tries: %s", row.id, row.tries + 1, attempt.detail)
        deliveries.settle(row, "dead", attempt)
        counts.DELIVERIES.labels(row.channel, "dead").inc()
    else:
        _try_again(outbox, row, token, attempt, min(failed.retry_after or 0, LONGEST_ASKED))
    _see_to_a_probe(outbox, row)


def _try_again(outbox: Outbox, row: Delivery, token: str, attempt: Attempt, asked: float) -> None:
    wait = backoff(row.tries + 1)
    if not outbox.deliveries.waiting.is_probed(row.id):
        wait = min(wait, PROBE)
    wait = max(wait, asked)
    if outbox.deliveries.fail(row, token, attempt, wait, asked):
        counts.DELIVERIES.labels(row.channel, "failed").inc()
        log.warning("%s: try %d failed, next in %.1f s: %s", row.id, row.tries + 1, wait, attempt.detail)
    else:
        counts.DELIVERIES.labels(row.channel, "dead").inc()
        log.error("%s: given up after %d tries: %s", row.id, row.tries + 1, attempt.detail)


def _see_to_a_probe(outbox: Outbox, row: Delivery) -> None:
    """Makes sure that a channel with waiting rows has a probe: ``row`` may have been it, and waits no longer."""
    if not outbox.deliveries.waiting.is_probed(row.id):
        outbox.deliveries.wake(row, 1)


def _deaths(row: Delivery) -> int:
    """How many workers died with the row since it was last redriven."""
    tries = row.attempts[-row.tries :] if row.tries else ()
    return sum(attempt.detail == DIED for attempt in tries)


def _give_up(outbox: Outbox, row: Delivery, why: str) -> None:
    counts.DELIVERIES.labels(row.channel, "dead").inc()
    log.error("%s: given up: %s", row.id, why)
    _end(outbox, row, "dead", why)


def _end(outbox: Outbox, row: Delivery, state: str, why: str) -> None:
    outbox.deliveries.settle(row, state, Attempt(outbox.deliveries.now(), state != "dead", None, why[:DETAIL]))


def _notice(alert: Alert, row: Delivery) -> Notice:
    id, severity, title, text, at = alert.id, alert.severity, f"{alert.rule}: {alert.metric}", alert.text, alert.at
    if row.event == RESOLVED:
        id, severity, title = f"{alert.id}:{RESOLVED}", "info", f"Resolved: {title}"
        text, at = f"over: {alert.text}", alert.resolved_at or alert.at
    elif row.event == REMINDER:
        id, title = f"{alert.id}:{REMINDER}:{row.number + 1}", f"Reminder: {title}"
        text = f"still firing, not acknowledged: {alert.text}"
    elif row.wait:
        text = f"not acknowledged within {row.wait / 60:g} min: {alert.text}"
    return Notice(id, alert.id, row.event, severity, title, text, at, alert)


def _digest(outbox: Outbox, row: Delivery) -> Notice | None:
    """One notice for all rows of a digest."""
    told = [(each, alert) for each in outbox.deliveries.digested(row) if (alert := outbox.get(each.alert))]
    if told and row.alert.startswith(LATE):
        return digests.late(row, [alert for _, alert in told], MOST, outbox.deliveries.now())
    if told:
        return digests.above_ceiling(row, told, outbox.deliveries.now())
    _give_up(outbox, row, "its alerts are no longer stored")
    return None
