#!/usr/bin/env bash
# `python -m tracker api` in the project's virtual environment. Makes the environment if it is missing. See --help.
. "$(dirname "$0")/venv.sh"
install requirements.txt
exec "$python" -m tracker api "$@"
