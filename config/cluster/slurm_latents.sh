#!/bin/bash
# Latents of a data set as a job array under SLURM: each job encodes its share of the songs on one GPU. Then, in the
# repository:
#
#   sbatch config/cluster/slurm_latents.sh data/slakh_latents config/synctrack_train.yaml [key=value ...]
#
#SBATCH --job-name=synctrack-latents
#SBATCH --array=1-16
#SBATCH --gpus=1
#SBATCH --cpus-per-task=8
#SBATCH --time=04:00:00
#SBATCH --output=%x-%A_%a.out
#
# The job that ends last completes the folder. One that failed is named by the others, and is run again by itself:
# sbatch --array=7 --export=ALL,SHARDS=16 config/cluster/slurm_latents.sh ... For midi and slakh, change the last command.
set -eu
out=$1
shift
exec python prepare_data.py latents --config "$@" --out "$out" \
    --shard "$SLURM_ARRAY_TASK_ID/${SHARDS:-$SLURM_ARRAY_TASK_COUNT}"
