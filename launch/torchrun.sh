# Sourced by torchrun_mlm.sh, torchrun_triplet.sh and torchrun_compare.sh. Starts a program with torchrun on this
# machine.

# Directory of this repository.
REPO=${REPO:-$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)}
source "$REPO/launch/common.sh"
source "$REPO/launch/gpus.sh"
# Number of processes: one per GPU, or 2 on a machine without GPUs.
NPROC=${NPROC:-$(default_processes)}
require_processes
# CPU threads per process.
export OMP_NUM_THREADS=${OMP_NUM_THREADS:-1}

# start SCRIPT|-m MODULE ARGUMENT...: runs the script or module under torchrun.
start() {
    exec "$PYTHON" -m torch.distributed.run --standalone --nproc-per-node "$NPROC" "$@"
}
