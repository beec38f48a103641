#!/usr/bin/env bash
# Ends the cluster when its owner is gone, however that came. Started by up --owner, in a process group of its own.
#
#   watchdog.sh OWNER_PID DIR
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
# shellcheck source=lib/process.sh
. "$here/lib/process.sh"

owner=$1 dir=$2
born=$(birth_of "$owner") || born=gone
while [ -d "$dir/pids" ] && [ "$(birth_of "$owner")" = "$born" ]; do sleep 1; done
[ ! -d "$dir/pids" ] || exec "$here/down" --dir "$dir" --from-watchdog
