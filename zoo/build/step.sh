#!/bin/sh
# What LAUNCH runs on a node: step.sh NOTE COMMAND... It writes into NOTE where the command began, and how it ended.
# The launcher's exit code alone says too little: srun ends with 0 when the node of its command dies.
# It is a script, and not a part of launch.py, since sbatch takes nothing else.
note=$1
shift
node=${SLURMD_NODENAME:-$(uname -n)}
echo "on $node: $*" >&2
echo "$node" > "$note"
"$@"
code=$?
echo "$node $code" > "$note"
exit $code
