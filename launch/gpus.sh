# Sourced by quickstart.sh, torchrun.sh and slurm.sh: how many processes to start.

# count_gpus: prints the number of GPUs that a process started here can use. Asks nvidia-smi, because the quickstart
# needs the number before torch is installed. CUDA_VISIBLE_DEVICES counts as it does for CUDA: an empty one hides all
# GPUs, and CUDA ignores everything from the first invalid entry on.
count_gpus() {
    local installed id ids count=0
    installed=$(nvidia-smi -L 2> /dev/null | grep -c '^GPU ') || installed=0
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

# default_processes: prints one process per GPU, or 2 where there is no GPU.
default_processes() {
    local gpus
    gpus=$(count_gpus)
    echo $((gpus > 0 ? gpus : 2))
}
