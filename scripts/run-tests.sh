#!/usr/bin/env bash
# Installs what the checks and tests need into .venv and runs them all; arguments go to pytest, e.g. tests/series/test_ring.py.
. "$(dirname "$0")/venv.sh"
install requirements.txt requirements-dev.txt
set -e
if [ $# -eq 0 ]; then
    "$python" -m ruff check .
    "$python" -m ruff format --check .
    "$python" -m mypy tracker api celeryconfig.py
fi
exec "$python" -m pytest "$@"
