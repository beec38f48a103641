# shellcheck shell=bash
# Where the programs come from: built and cached where there is a Go toolchain; else from the PATH, when new enough.
# Sets: bin, kwok_share.

version_on_path() { # PROGRAM
  local output
  case $1 in
    kubectl) output=$(kubectl version --client 2>/dev/null) ;;
    helm) output=$(helm version --short 2>/dev/null) ;;
    *) output=$("$1" --version 2>&1) ;;
  esac
  grep -oE '[0-9]+\.[0-9]+\.[0-9]+' <<<"$output" | head -n1
}

take_from_path() { # PROGRAM AT_LEAST
  local version
  has "$1" || fail "there is neither a Go toolchain to build $1 with nor a $1 on the PATH"
  version=$(version_on_path "$1")
  at_least "${version:-0}" "$2" || fail "$1 on the PATH has the version ${version:-unknown}, but at least $2 is needed"
  ln -s "$(command -v "$1")" "$run/bin/$1"
}

find_programs() {
  local parts=(nats prometheus helm kubectl kwok peer-crds)
  [ "$way" != local ] || parts+=(control-plane)
  [ "$way $with_metrics_server" != "local yes" ] || parts+=(metrics-server)
  [ "$way $with_peers" != "local yes" ] || parts+=(vpa keda)
  [ "$with_node" = no ] || parts+=("${NODE_PARTS[@]}")
  if has go; then
    bin=$(ensure_parts "${parts[@]}")
    kwok_share=$bin/share/kwok
  else
    take_all_from_path
  fi
}

# KWOK from the PATH comes without its manifests, so nodes must be in the cluster already (see README).
take_all_from_path() {
  bin=$run/bin
  mkdir -p "$bin"
  take_from_path prometheus "$PROMETHEUS_AT_LEAST"
  take_from_path promtool "$PROMETHEUS_AT_LEAST"
  take_from_path nats-server "$NATS_AT_LEAST"
  take_from_path kubectl "$KUBECTL_AT_LEAST"
  take_from_path helm "$HELM_AT_LEAST"
  kwok_share=
}
