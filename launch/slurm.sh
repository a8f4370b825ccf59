# Sourced by mlm.sbatch, triplet.sbatch and compare.sbatch. Starts a program with torchrun on every node of the job.
# Shortly before the time limit SLURM sends SIGUSR2. Then this script stops the program, which keeps what it has
# finished, and requeues the job.

source "$REPO/launch/common.sh"
source "$REPO/launch/gpus.sh"
# Number of processes per node: one per GPU of the job, or 2 on nodes without GPUs. If SLURM does not manage the GPUs,
# the GPUs of the first node are counted.
GPUS=${GPUS:-${SLURM_GPUS_ON_NODE:-$(default_processes)}}
# CPU threads per process: the CPUs of a node divided by its processes.
export OMP_NUM_THREADS=${OMP_NUM_THREADS:-$((SLURM_CPUS_PER_TASK > GPUS ? SLURM_CPUS_PER_TASK / GPUS : 1))}
# Since SLURM 22.05 srun does not inherit --cpus-per-task from the job.
export SRUN_CPUS_PER_TASK=$SLURM_CPUS_PER_TASK
# Rendezvous address of torchrun: the first node of the job, and a port that depends on the job id.
MASTER=${MASTER:-$(scontrol show hostnames "$SLURM_JOB_NODELIST" | head -n 1)}
PORT=${PORT:-$((20000 + SLURM_JOB_ID % 20000))}
# Seconds that a stopped program has to save and end before it is killed. It must be less than the 180 seconds of
# --signal in the .sbatch file.
SAVE_SECONDS=${SAVE_SECONDS:-150}

# is_preempted: true if SLURM is preempting the job. If the partition has a grace time, SLURM first sends SIGTERM to the
# processes, but not to this script. At the end of the grace time it requeues the job, unless the job has failed already.
is_preempted() {
    [[ $(scontrol show job "$SLURM_JOB_ID") =~ PreemptTime=[0-9] ]]
}

# version FILE: what changes if a file or directory is replaced. Fails if it does not exist.
version() {
    stat -c '%i %y' "$1" 2>/dev/null
}

# start RESULT SCRIPT|-m MODULE ARGUMENT...: runs the script or module. RESULT is a file or directory that exists only
# once it has finished. It may be there from an earlier job, until the program removes it.
start() {
    local result=$1 warned=no status=0 before
    shift
    before=$(version "$result") || before=none
    echo "job $SLURM_JOB_ID: $SLURM_NNODES nodes x $GPUS processes x $OMP_NUM_THREADS threads, restart ${SLURM_RESTART_COUNT:-0}"
    srun --kill-on-bad-exit=1 "$PYTHON" -m torch.distributed.run \
        --nnodes "$SLURM_NNODES" --nproc-per-node "$GPUS" \
        --rdzv-backend c10d --rdzv-endpoint "$MASTER:$PORT" --rdzv-id "$SLURM_JOB_ID-${SLURM_RESTART_COUNT:-0}" \
        --signals-to-handle SIGTERM,SIGINT,SIGHUP,SIGQUIT,SIGUSR2 --shutdown-timeout "$SAVE_SECONDS" \
        "$@" &
    local srun=$!
    # srun forwards the signal to torchrun, and torchrun to its processes. A trainer saves a checkpoint and ends with
    # status 0. compare ends with another status, and srun ends torchrun on the other nodes.
    trap 'warned=yes; echo "job $SLURM_JOB_ID: SLURM sent SIGUSR2, stopping"; kill -USR2 "$srun" || true' USR2
    while kill -0 "$srun" 2>/dev/null; do
        wait "$srun" || true # the trap interrupts it
    done
    wait "$srun" || status=$?
    if [ "$warned" = no ] && ! is_preempted; then
        exit "$status"
    fi
    # A program that found its result complete keeps it, and ends with status 0.
    if [ ! -e "$result" ] || [[ $status != 0 && $(version "$result") = "$before" ]]; then
        echo "job $SLURM_JOB_ID: not finished, requeued"
        scontrol requeue "$SLURM_JOB_ID"
    fi
}
