"""The pages behind the signed links of notices: each says what its one button will do, and the button does it.

Mail programs and chats fetch links by themselves, so GET changes nothing and only POST acts. Nobody needs an API key
here: the signature of a link allows what the link says, and nothing else.
"""

from collections.abc import Callable
from http import HTTPStatus
from subprocess import SubprocessError
from threading import Lock
from typing import NamedTuple

from apiflask import APIBlueprint
from flask import Response, current_app, request
from markupsafe import Markup

from api.v1 import context
from tracker.alerts import picture
from tracker.alerts.links import ACTIONS, PICTURE, Link, Links
from tracker.clock import utc, wall
from tracker.errors import StoreError, TooMany
from tracker.models import RESOLVED, Alert
from tracker.series.ring import HOUR

bp = APIBlueprint("links", __name__, enable_openapi=False)

#: A form may only be sent to this page, and nothing but its style is loaded.
POLICY = "default-src 'none'; style-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
#: Without an action, a form is sent to the address of its page, with the query.
PAGE = Markup("""<!doctype html>
<html lang="en">
<head>
  <meta charset="utf-8">
  <title>{title}</title>
  <meta name="viewport" content="width=device-width, initial-scale=1">
  <meta name="color-scheme" content="light dark">
  <meta name="robots" content="noindex">
  <link rel="stylesheet" href="../static/link.css">
</head>
<body>
  <main>
    <h1>{title}</h1>
    <p>{told}</p>{alert}{form}
  </main>
</body>
</html>
""")
FORM = Markup("""
    <form method="post"><button>{label}</button></form>""")
ALERT = Markup("""
    <p class="alert">{text}</p>""")


AWAY = "The store does not answer. Try again in a minute."
UNDRAWN = "The picture could not be drawn. Try again in a minute."
BROKEN = (
    "This link is not valid",
    "Its signature is not ours. Perhaps a part of its address was lost: open it from the notice.",
)
#: A process draws one picture at a time.
_drawing = Lock()


class Deed(NamedTuple):
    """What a link does.

    label: of its button; will, did: said before and after it, ``will`` may name ``{alert}``; act: does it.
    """

    label: str
    will: str
    did: str
    act: Callable[[Link, Alert], None]


@bp.get("/links/picture")
def show_picture() -> Response:
    """The picture of an alert."""
    try:
        return _picture()
    except StoreError as error:
        current_app.logger.error("503: %s", error)
        return _page(HTTPStatus.SERVICE_UNAVAILABLE, "Not now", AWAY)


def _picture() -> Response:
    found = Links(context.master().redis).read(PICTURE, request.args)
    if not found:
        return _page(HTTPStatus.FORBIDDEN, *BROKEN)
    alert = context.outbox().get(found.alert)
    if not alert or found.until <= wall():
        return _page(HTTPStatus.GONE, "This link has expired", "Pictures are there for a day.")
    if not _drawing.acquire(timeout=2 * picture.LONGEST):
        return _page(HTTPStatus.SERVICE_UNAVAILABLE, "Not now", UNDRAWN)
    try:
        drawn = picture.drawn(context.store(), context.settings().sources, alert, context.now())
    except (OSError, SubprocessError) as error:
        current_app.logger.error("503: %s has no picture: %s", alert.id, type(error).__name__)
        return _page(HTTPStatus.SERVICE_UNAVAILABLE, "Not now", UNDRAWN)
    finally:
        _drawing.release()
    if not drawn:
        return _page(HTTPStatus.GONE, "There is no picture", "The samples around this alert are gone.")
    return Response(drawn, HTTPStatus.OK, {"Cache-Control": "private, max-age=300"}, mimetype="image/png")


@bp.route("/links/<action>", methods=["GET", "POST"])
def link(action: str) -> Response:
    """The page of a link; POST does what the link says, once."""
    try:
        return _answer(action)
    except StoreError as error:
        current_app.logger.error("503: %s", error)  # it may name hosts: for the log only
        return _page(HTTPStatus.SERVICE_UNAVAILABLE, "Not now", AWAY)
    except TooMany as error:
        return _page(HTTPStatus.CONFLICT, "Not possible", f"Nothing was done: {error}.")


def _answer(action: str) -> Response:
    links, outbox = Links(context.master().redis), context.outbox()
    found = links.read(action, request.args)
    if not found or action not in DEEDS:
        return _page(HTTPStatus.FORBIDDEN, *BROKEN)
    alert, deed, now = outbox.get(found.alert), DEEDS[action], wall()
    if not alert:
        return _page(HTTPStatus.NOT_FOUND, "The alert was deleted", "Alerts are kept for a week.")
    if used := links.used_at(found):
        return _page(HTTPStatus.OK, "This link was used", f"It {deed.did} on {utc(used)}. It works only once.", alert)
    if found.until <= now:
        told = f"It expired on {utc(found.until)}. Nothing was done. The dashboard still can."
        return _page(HTTPStatus.GONE, "This link has expired", told, alert)
    if action == "acknowledge" and alert.acknowledged:
        told = f"By {alert.acknowledged['by']}, on {utc(alert.acknowledged['at'])}."
        return _page(HTTPStatus.OK, "It is acknowledged already", told, alert)
    if request.method != "POST":
        over = " The alert is over by now." if alert.state == RESOLVED else ""
        return _page(HTTPStatus.OK, f"{deed.label}?", f"{deed.will.format(alert=alert)}{over}", alert, deed.label)
    deed.act(found, alert)
    links.use(found, now)
    return _page(HTTPStatus.OK, "Done", f"This link {deed.did}.", alert)


def _acknowledge(link: Link, alert: Alert) -> None:
    context.outbox().acknowledge(alert.id, _by(link), "", wall())


def _silence(link: Link, alert: Alert) -> None:
    """The id follows from the link, so that two clicks at once make one silence."""
    now = wall()
    id, why = f"link-{link.signature[:12]}", f"asked for in the notice of {alert.id}"
    context.outbox().silences.add((alert.metric,), now + HOUR, why, now, _by(link), id=id)


DEEDS = {
    "acknowledge": Deed(
        ACTIONS["acknowledge"],
        "The dashboard then shows that somebody sees to this alert. Its reminders stop, and no second channel is told.",
        "acknowledged the alert",
        _acknowledge,
    ),
    "silence": Deed(
        ACTIONS["silence"],
        "For one hour nobody is told of any alert of {alert.metric}. They are still recorded.",
        "silenced the metric for one hour",
        _silence,
    ),
}


def _by(link: Link) -> str:
    return f"link of {link.channel}"


def _page(status: HTTPStatus, title: str, told: str, alert: Alert | None = None, label: str = "") -> Response:
    body = PAGE.format(
        title=title,
        told=told,
        alert=ALERT.format(text=alert.text) if alert else "",
        form=FORM.format(label=label) if label else "",
    )
    headers = {"Cache-Control": "no-store", "Content-Security-Policy": POLICY}
    return Response(body, status, headers, mimetype="text/html")
