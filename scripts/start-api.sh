#!/usr/bin/env bash
# `python -m tracker api` in the project's virtual environment, which is made if it is not there. --help says more.
. "$(dirname "$0")/venv.sh"
install requirements.txt
exec "$python" -m tracker api "$@"
