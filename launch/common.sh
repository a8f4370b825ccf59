# Sourced by torchrun.sh, slurm.sh, prepare.sbatch and compare.sbatch, which set REPO.

# Interpreter, at the same path on every node; .venv if launch/test.sh or you made one.
PYTHON=${PYTHON:-$([ -x "$REPO/.venv/bin/python" ] && echo "$REPO/.venv/bin/python" || echo python3)}
