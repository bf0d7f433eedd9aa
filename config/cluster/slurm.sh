#!/bin/sh
# Four workers of two slots each on Slurm: sbatch slurm.sh. The scheduler runs elsewhere, where the workers can reach it
# (`cutoutd cluster scheduler`). CERTS is a directory on a file system that this account alone can read. See docs/cluster.md.
#SBATCH --job-name=cutoutd
#SBATCH --array=0-3
#SBATCH --ntasks=1
#SBATCH --cpus-per-task=2
#SBATCH --mem=6G
#SBATCH --time=04:00:00
#SBATCH --signal=B:TERM@60
#SBATCH --requeue
set -eu
: "${SCHEDULER:?tls://HOST:8786}" "${CERTS:?the directory of ca.pem, worker.pem and worker.key}"
# Several may come to one node: each has a port of its own, and worker_port of the coordinator lists 8790 to 8793.
exec cutoutd worker --scheduler "$SCHEDULER" --slots "${SLURM_CPUS_PER_TASK:-2}" --port $((8790 + SLURM_ARRAY_TASK_ID)) \
  --tls-ca-file "$CERTS/ca.pem" --tls-cert "$CERTS/worker.pem" --tls-key "$CERTS/worker.key"
