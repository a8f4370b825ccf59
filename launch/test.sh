#!/usr/bin/env bash
# Creates .venv if needed, installs, checks style, types and imports, and runs the tests.
# Arguments are passed to pytest. PYTHON is the interpreter that creates .venv.
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
