# shellcheck shell=bash
# A block of free ports for one cluster. Blocks lie below the range from which the kernel hands out ports by itself, so nobody gets one
# of them by chance; a block is ours once its reservation folder could be made, and free when the kernel lists no socket on it.
# Expects: run. Sets: port_base and one variable per listener.

ports_per_cluster=32
first_block=20000
reservations() { printf '%s/arbiter-cluster-ports.%s' "${TMPDIR:-/tmp}" "$UID"; }

ephemeral_begin() { awk '{print $1}' /proc/sys/net/ipv4/ip_local_port_range 2>/dev/null || echo 32768; }

# The local ports of all TCP sockets of this machine, one a line.
ports_in_use() {
  local line
  { cat /proc/net/tcp /proc/net/tcp6 2>/dev/null || true; } | # a kernel without IPv6 has no tcp6
    awk '$2 ~ /:/ {n = split($2, a, ":"); print a[n]}' | sort -u |
    while read -r line; do echo $((16#$line)); done
}

block_is_free() { # BASE USED
  local i
  for ((i = 0; i < ports_per_cluster; i++)); do
    [[ $2 != *" $(($1 + i)) "* ]] || return 1
  done
}

# A reservation whose cluster folder is gone was left by a run that could not clean up.
reserve_block() { # BASE
  local mark
  mark=$(reservations)/$1
  if [ -L "$mark" ] && [ ! -d "$(readlink "$mark")" ]; then rm -f "$mark"; fi
  ln -sT "$run" "$mark" 2>/dev/null
}

choose_ports() {
  local used blocks begin i
  mkdir -p "$(reservations)"
  used=" $(ports_in_use | tr '\n' ' ') "
  begin=$(ephemeral_begin)
  if [ "$begin" -le $((first_block + 64 * ports_per_cluster)) ]; then begin=32768; fi
  blocks=$(((begin - first_block) / ports_per_cluster))
  i=$((RANDOM % blocks))
  for ((tries = 0; tries < blocks; tries++, i = (i + 1) % blocks)); do
    port_base=$((first_block + i * ports_per_cluster))
    if block_is_free "$port_base" "$used" && reserve_block "$port_base"; then
      name_ports
      return
    fi
  done
  fail "found no $ports_per_cluster free ports in a row between $first_block and $begin"
}

name_ports() {
  api_port=$port_base
  etcd_port=$((port_base + 1))
  etcd_peer_port=$((port_base + 2))
  controller_manager_port=$((port_base + 3))
  scheduler_port=$((port_base + 4))
  kwok_port=$((port_base + 5))
  metrics_server_port=$((port_base + 6))
  prometheus_port=$((port_base + 7))
  nats_port=$((port_base + 8))
  nats_monitor_port=$((port_base + 9))
  vpa_webhook_port=$((port_base + 10))
  vpa_admission_port=$((port_base + 11))
  vpa_recommender_port=$((port_base + 12))
  vpa_updater_port=$((port_base + 13))
  keda_metrics_port=$((port_base + 14))
  keda_health_port=$((port_base + 15))
  keda_grpc_port=$((port_base + 16))
  keda_adapter_port=$((port_base + 17))
  keda_adapter_metrics_port=$((port_base + 18))
  keda_webhook_port=$((port_base + 19))
  keda_webhook_metrics_port=$((port_base + 20))
  keda_webhook_health_port=$((port_base + 21))
  kubelet_port=$((port_base + 22))
  kubelet_health_port=$((port_base + 23))
}

release_ports() {
  local mark
  for mark in "$(reservations)"/*; do
    if [ -L "$mark" ] && [ "$(readlink "$mark")" = "$run" ]; then rm -f "$mark"; fi
  done
  rmdir "$(reservations)" 2>/dev/null || true
}
