"""The links of a notice, to the dashboard at PUBLIC_URL."""

from urllib.parse import urlencode

from tracker.models import METRIC_ID, Alert


def page(public_url: str, alert: Alert | None) -> str:
    """The page that opens ``alert`` on the chart of its metric; without an alert, the dashboard."""
    shown = {"metric": alert.metric} if alert and METRIC_ID.fullmatch(alert.metric) else {}
    query = urlencode(shown | ({"alert": alert.id} if alert else {}), safe=":")
    return f"{public_url}/{f'?{query}' if query else ''}"
