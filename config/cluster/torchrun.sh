#!/bin/sh
# Training on several machines without a scheduler. Start it on each of them, with the same arguments, in the repository:
#
#   NODES=2 MAIN=host0 sh config/cluster/torchrun.sh config/synctrack_train.yaml [overlay.yaml ...] [key=value ...]
#
#   NODES      number of machines
#   MAIN       name or address of one of them, which all others reach
#   PORT       a free port there (29500)
#   PROCESSES  processes on each machine: gpu is one for each GPU (the default); a number, also without GPUs
#
# Where a machine's own name means 127.0.1.1 in its /etc/hosts, set GLOO_SOCKET_IFNAME to its network interface.
#
# The batch is data.params.batch_size songs for each process. All machines see the same data and the same run_dir. To
# stop it, press Ctrl-C or send SIGTERM on one machine; to resume, start it again: it goes on from last.ckpt.
set -eu
: "${NODES:?set it to the number of machines}" "${MAIN:?set it to the name of one of the machines}"

exec python -m torch.distributed.run \
    --nnodes "$NODES" --nproc-per-node "${PROCESSES:-gpu}" \
    --rdzv-backend c10d --rdzv-endpoint "$MAIN:${PORT:-29500}" --rdzv-id synctrack \
    train_synctrack.py --config "$@" trainer.num_nodes="$NODES" trainer.resume=auto
