#!/usr/bin/env bash
# Make .venv if there is none, install, check style, types and imports, and run the tests.
# Arguments go to pytest. PYTHON names the interpreter that makes .venv.
set -euo pipefail
cd "$(dirname "$0")/.."
REPO=$PWD
source launch/venv.sh

install -r requirements.txt -r tests/requirements.txt
install_package
"$VENV" -m ruff check .
"$VENV" -m ruff format --check .
"$VENV" -m mypy lyricbert
"$REPO/.venv/bin/lint-imports"
# Three processes for two cores: the tests on the SLURM cluster wait for most of their time. A file shares its runs, so
# its tests stay together.
exec "$VENV" -m pytest -n 3 --dist loadfile --no-loadscope-reorder "$@"
