# Sourced by pipeline.sh and prepare.sh, which set REPO. LOGS is the directory for the logs.

# fail MESSAGE: a user's mistake ends with one line and status 2.
fail() {
    echo "$*" >&2
    exit 2
}

# submit NAME JOBS OPTION... -- SCRIPT FLAG...: submits the script with these options of sbatch, to start after JOBS (ids,
# each with a colon before it). Sets `job` to its id and prints the id. If one of JOBS fails, SLURM cancels the job.
submit() {
    local name=$1 jobs=$2 options=()
    shift 2
    while [ "$1" != -- ]; do
        options+=("$1")
        shift
    done
    job=$(sbatch --parsable --job-name "$name" ${jobs:+--dependency "afterok$jobs" --kill-on-invalid-dep yes} \
        ${CPUS:+--cpus-per-task "$CPUS"} --output "$LOGS/%x-%j.log" "${options[@]}" "$REPO/launch/$2" "${@:3}")
    job=${job%%;*} # the name of the cluster can follow the id
    echo "$name $job"
}

command -v sbatch > /dev/null || fail "sbatch: no such program; this script needs a SLURM cluster. On one machine, use launch/quickstart.sh"
