# Sourced by test.sh and quickstart.sh, which set REPO. Creates .venv if needed, and installs into it.

# The interpreter that creates .venv.
PYTHON=${PYTHON:-python3}
# The interpreter in .venv, which runs everything.
VENV=$REPO/.venv/bin/python

# fail MESSAGE: a user's mistake ends with one line and status 2.
fail() {
    echo "$*" >&2
    exit 2
}

# install PIP_ARGUMENT...: installs into .venv with pip.
install() {
    if ! "$VENV" -m pip --version > /dev/null 2>&1; then # .venv is missing or incomplete
        command -v "$PYTHON" > /dev/null || fail "$PYTHON: no such program; name a Python 3.11 or newer with PYTHON="
        "$PYTHON" -c "$IS_NEW" || fail "$PYTHON: Python 3.11 or newer is needed; name one with PYTHON="
        "$PYTHON" -m venv "$REPO/.venv"
    fi
    "$VENV" -c "$IS_NEW" || fail "$REPO/.venv: Python 3.11 or newer is needed; remove this folder"
    "$VENV" -m pip install --quiet --disable-pip-version-check "$@"
}

# install_package: installs lyricbert from this repository in editable mode. It uses the setuptools that came with
# torch, so that a second call needs no network.
install_package() {
    install --no-deps --no-build-isolation -e "$REPO"
}
IS_NEW='import sys; sys.exit(sys.version_info < (3, 11))'
