# Sourced by torchrun_mlm.sh and torchrun_triplet.sh: starts $1 with torchrun on this machine.

# Directory of this repository.
REPO=${REPO:-$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)}
# Interpreter; .venv if launch/test.sh or you made one.
PYTHON=${PYTHON:-$([ -x "$REPO/.venv/bin/python" ] && echo "$REPO/.venv/bin/python" || echo python3)}
# Processes, one a GPU.
NPROC=${NPROC:-4}
# CPU threads of each process.
export OMP_NUM_THREADS=${OMP_NUM_THREADS:-1}

start() {
    local script=$1
    shift
    exec "$PYTHON" -m torch.distributed.run --standalone --nproc-per-node "$NPROC" "$REPO/$script" "$@"
}
