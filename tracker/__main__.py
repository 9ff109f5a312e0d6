"""``python -m tracker``."""

from tracker.commands.cli import main

main()
