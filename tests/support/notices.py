"""An alert, and a failed attempt to send it."""

from tracker.models import Alert, Attempt

ALERT = Alert("jump", "kraken:btcusd:volume", 1_700_000_040, 301.5, 100.5, 3.0, 60, 3_600, 1_700_000_071.25)
FAILED = Attempt(5.0, False, 500, "answered 500")
