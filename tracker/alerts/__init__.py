"""Alerts, from rules to people: the rules, the record of what fires, and the notices to channels."""
