# Sourced by torchrun_mlm.sh and torchrun_triplet.sh. Starts a script with torchrun on this machine.

# Directory of this repository.
REPO=${REPO:-$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)}
source "$REPO/launch/common.sh"
source "$REPO/launch/gpus.sh"
# Number of processes: one per GPU, or 2 on a machine without GPUs.
NPROC=${NPROC:-$(default_processes)}
require_processes
# CPU threads per process.
export OMP_NUM_THREADS=${OMP_NUM_THREADS:-1}

# start SCRIPT ARGUMENT...: runs the script under torchrun.
start() {
    local script=$1
    shift
    exec "$PYTHON" -m torch.distributed.run --standalone --nproc-per-node "$NPROC" "$REPO/$script" "$@"
}
