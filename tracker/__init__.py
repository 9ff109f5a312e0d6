"""data-tracker: fetches crypto market metrics, keeps their last 24 hours, ranks them and alerts on them."""

__version__ = "0.1.0"
