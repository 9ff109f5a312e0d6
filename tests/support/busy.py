"""An exchange and a rule that make alerts in each minute."""

from tracker.simulator.feeds import Generated


def feed() -> Generated:
    return Generated(seed=7, markets=12, exchanges=1)


#: Some of so many volumes rise above their mean in each minute.
RULES = """
[rules.trades]
kind = "ratio"
match = "*:volume"
factor = 1
clear_factor = 1
channels = ["log"]
"""
