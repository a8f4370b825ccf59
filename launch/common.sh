# Sourced by torchrun.sh and slurm.sh, which set REPO.

# Interpreter, at the same path on every node; .venv if launch/test.sh or you made one.
PYTHON=${PYTHON:-$([ -x "$REPO/.venv/bin/python" ] && echo "$REPO/.venv/bin/python" || echo python3)}
# CPU threads of each process.
export OMP_NUM_THREADS=${OMP_NUM_THREADS:-1}
