#!/bin/bash
# Training under SLURM, on one machine or several. Set the lines below to your cluster, then, in the repository:
#
#   sbatch config/cluster/slurm_train.sh config/synctrack_train.yaml [overlay.yaml ...] [key=value ...]
#
#SBATCH --job-name=synctrack
#SBATCH --nodes=2
#SBATCH --ntasks-per-node=8
#SBATCH --gpus-per-node=8
#SBATCH --cpus-per-task=8
#SBATCH --time=24:00:00
#SBATCH --output=%x-%j.out
#SBATCH --open-mode=append
#SBATCH --requeue
#SBATCH --signal=TERM@180
#
# One task for each GPU; data.params.num_workers is at most cpus-per-task. Three minutes before its time is over, and when
# it is preempted, the job gets SIGTERM: it saves last.ckpt, ends with status 143 and is queued again, from where it
# resumes. A task that is killed ends the job.
set -u
status=0
# Since Slurm 22.05, srun does not take over --cpus-per-task.
srun --kill-on-bad-exit=1 --cpus-per-task="$SLURM_CPUS_PER_TASK" \
    python train_synctrack.py --config "$@" trainer.resume=auto \
    trainer.num_nodes="$SLURM_NNODES" trainer.devices="$SLURM_NTASKS_PER_NODE" || status=$?
if [ "$status" -eq 143 ]; then
    scontrol requeue "$SLURM_JOB_ID"
fi
exit "$status"
