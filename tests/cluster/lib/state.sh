# shellcheck shell=bash
# The cluster's folder: what lies in it, the env file, and how all of it ends. Expects: run.

# Everything of the cluster lies in $run, so that its end is one rm. The mark says that the folder is ours.
mark_file=.arbiter-test-cluster

create_run_folder() { # DIR or nothing
  if [ -n "${1:-}" ]; then
    mkdir -p "$1"
    run=$(cd "$1" && pwd -P)
    [ -z "$(ls -A "$run")" ] || fail "the folder $run is not empty; choose another, or end the cluster in it with 'down --dir $run'"
  else
    run=$(mktemp -d "${TMPDIR:-/tmp}/arbiter-cluster.XXXXXX")
  fi
  need_plain_path "the cluster's folder" "$run"
  mkdir "$run/pids" "$run/logs" "$run/pki"
  : >"$run/$mark_file"
}

open_run_folder() { # DIR: sets run, false when there is no cluster in it
  [ -d "$1" ] || return 1
  run=$(cd "$1" && pwd -P)
  [ -f "$run/$mark_file" ] || fail "$run holds no test cluster, so it is left alone"
}

# KEY=VALUE without quotes: paths were checked to need none. Renamed into place, for readers that look meanwhile.
write_env() {
  cat >"$run/.env.new" <<ENV
ARBITER_CLUSTER_DIR=$run
KIND=$way
KUBECONFIG_ADMIN=$run/admin.kubeconfig
KUBECONFIG_ARBITER=$run/arbiter.kubeconfig
API_SERVER_URL=$api_url
API_SERVER_CA=$run/pki/ca.crt
AUDIT_LOG=$audit_log
BIN=$bin
PROMETHEUS_URL=http://127.0.0.1:$prometheus_port
PROMETHEUS_PID=$(pid_of prometheus)
PROMETHEUS_CONFIG=$run/prometheus/prometheus.yml
PROMETHEUS_TARGETS=$run/prometheus/targets
PROMETHEUS_RULES=$run/prometheus/rules
NATS_URL=nats://127.0.0.1:$nats_port
NATS_MONITOR_URL=http://127.0.0.1:$nats_monitor_port
NATS_PID=$(pid_of nats)
METRICS_SERVER=$with_metrics_server
PEERS=$with_peers
ENV
  [ "$with_node" = no ] || node_env >>"$run/.env.new"
  mv "$run/.env.new" "$run/env"
}

# One value of the env file, without running it.
env_value() { sed -n "s/^$1=//p" "$run/env" 2>/dev/null || true; }

# Changes values in the env file.
tell() { # KEY VALUE...
  local changes=()
  while [ $# -gt 0 ]; do
    changes+=(-e "s#^$1=.*#$1=$2#")
    shift 2
  done
  sed "${changes[@]}" "$run/env" >"$run/.env.new"
  mv "$run/.env.new" "$run/env"
}

# Ends everything and removes the folder. Data and API objects are thrown away, so nobody needs long to say goodbye.
tear_down() { # KEEP_LOGS (yes or empty)
  way=${way:-$(cat "$run/way" 2>/dev/null || true)}
  bin=${bin:-$(cat "$run/bin-folder" 2>/dev/null || true)}
  [ "$way" != given ] || unmake
  stop_node
  stop 3 "${peer_processes[@]}" metrics-server kwok kube-controller-manager kube-scheduler prometheus nats kube-apiserver etcd
  [ "$way" != kind ] || close_kind
  release_ports
  [ "${2:-}" = watchdog ] || stop 1 watchdog
  if [ -n "${1:-}" ]; then
    find "$run" -mindepth 1 -maxdepth 1 ! -name logs -exec rm -rf {} +
    say "logs are kept in $run/logs"
  else
    rm -rf "$run"
  fi
}
