# Sourced by torchrun_mlm.sh and torchrun_triplet.sh: starts a script with torchrun on this machine.

# Directory of this repository.
REPO=${REPO:-$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)}
source "$REPO/launch/common.sh"
# Processes, one a GPU.
NPROC=${NPROC:-4}

# start SCRIPT ARGUMENT...
start() {
    local script=$1
    shift
    exec "$PYTHON" -m torch.distributed.run --standalone --nproc-per-node "$NPROC" "$REPO/$script" "$@"
}
