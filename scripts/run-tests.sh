#!/usr/bin/env bash
usage() {
    cat <<'END'
./scripts/run-tests.sh            everything: ruff, mypy, and all tests
./scripts/run-tests.sh fast       ruff, mypy, and all tests except the slow ones, which start whole stacks, processes or
                                  the browser: less than three minutes
./scripts/run-tests.sh WORDS...   pytest with these words, e.g. tests/series/test_ring.py

First installs the tests' requirements into .venv (or $VENV). Skips tests of a program that this machine lacks, such as
nginx; the last lines name them. .ci/run installs the programs, and fails if any test is skipped.
END
}
case "${1-}" in -h | --help) usage && exit ;; esac
. "$(dirname "$0")/venv.sh"
install requirements.txt requirements-telemetry.txt requirements-dev.txt
set -e
if [ $# -eq 0 ] || [ "$1" = fast ]; then
    "$python" -m ruff check .
    "$python" -m ruff format --check .
    "$python" -m mypy tracker api celeryconfig.py
fi
two=(-n 2 --dist loadfile) # two files at a time: most tests wait for something
case "${1-}" in
'') set -- "${two[@]}" ;;
fast) shift && set -- "${two[@]}" -m "not slow" "$@" ;;
esac
exec "$python" -m pytest "$@"
