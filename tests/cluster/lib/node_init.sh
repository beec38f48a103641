#!/usr/bin/env bash
# Process 1 of the real node's PID and mount namespaces. When it ends, the kernel ends every process in them (containerd, shims,
# containers, kubelet) and with the last one their mounts go.
#
#   node_init.sh CONTAINERD ARGUMENT...
set -euo pipefail

# A /run of its own: the cAdvisor inside the kubelet looks for containerd at /run/containerd/containerd.sock and nowhere else, and the
# machine may have a containerd there.
mount -t tmpfs -o mode=755 tmpfs /run
mkdir /run/containerd
: >/run/of-the-node
trap 'exit 0' TERM # process 1 ignores what it has no handler for
"$@" &
wait $!
