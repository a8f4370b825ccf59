# Sourced by quickstart.sh, torchrun.sh and slurm.sh. Computes the number of processes to start.

# count_gpus: prints the number of GPUs that a process started here can use. It asks nvidia-smi, because the quickstart
# needs the number before torch is installed. CUDA_VISIBLE_DEVICES is read as CUDA reads it. An empty value hides all
# GPUs, and the first invalid entry and all after it are ignored.
count_gpus() {
    local installed id ids count=0
    # nvidia-smi can list GPUs and still fail, for example with a warning about one of them.
    installed=$({ nvidia-smi -L 2> /dev/null || true; } | grep -c '^GPU ') || installed=0
    if [ -z "${CUDA_VISIBLE_DEVICES+set}" ]; then
        echo "$installed"
        return
    fi
    IFS=', ' read -ra ids <<< "$CUDA_VISIBLE_DEVICES"
    for id in "${ids[@]}"; do
        if [ "$installed" -eq 0 ] || ! [[ $id =~ ^(GPU|MIG)- || ($id =~ ^[0-9]+$ && $id -lt $installed) ]]; then
            break
        fi
        count=$((count + 1))
    done
    echo "$count"
}

# default_processes: prints the number of GPUs, or 2 if there is no GPU.
default_processes() {
    local gpus
    gpus=$(count_gpus)
    echo $((gpus > 0 ? gpus : 2))
}

# require_processes: exits with one line and status 2 if NPROC is not a number of processes.
require_processes() {
    if ! [[ $NPROC =~ ^[1-9][0-9]*$ ]]; then
        echo "NPROC=$NPROC: must be a number of processes, 1 or more" >&2
        exit 2
    fi
}
