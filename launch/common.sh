# Sourced by torchrun.sh, slurm.sh, prepare.sbatch, scan.sbatch and join.sbatch, which set REPO.

# Python interpreter, at the same path on every node. The default is that of .venv, if .venv exists.
PYTHON=${PYTHON:-$([ -x "$REPO/.venv/bin/python" ] && echo "$REPO/.venv/bin/python" || echo python3)}

# Training on a CPU needs less memory without glibc's caches of freed small blocks. The cached blocks lie between the free
# blocks of large tensors. These cannot merge then, and new tensors fit into none of them. See docs/performance.md.
export GLIBC_TUNABLES=${GLIBC_TUNABLES-glibc.malloc.tcache_count=0:glibc.malloc.mxfast=0}

# require_package: exits with one line and status 2 if PYTHON cannot import lyricbert.
require_package() {
    if ! "$PYTHON" -c 'import lyricbert' > /dev/null 2>&1; then
        echo "$PYTHON cannot import lyricbert; run: $PYTHON -m pip install -e $REPO, or name another Python with PYTHON=" >&2
        exit 2
    fi
}
