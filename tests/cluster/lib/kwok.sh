# shellcheck shell=bash
# KWOK and its nodes, against whatever cluster there is. Expects: run, bin, pki, kwok_port, node_count, kwok_share.

write_kwok_config() {
  sed -e "s#@KWOK_PORT@#$kwok_port#g" -e "s#@PKI@#$pki#g" "$here/templates/kwok.yaml" >"$run/kwok.yaml"
  local name
  for name in node-initialize node-heartbeat-with-lease metrics-resource; do
    { echo "---"; cat "$kwok_share/$name.yaml"; } >>"$run/kwok.yaml"
  done
}

node_manifests() {
  local i
  for ((i = 0; i < node_count; i++)); do
    echo "---"
    sed "s#@NAME@#kwok-$i#g" "$here/templates/node.yaml"
  done
}

start_kwok() {
  write_kwok_config
  kube_make "$kwok_share"/kwok.x-k8s.io_{clusterresourceusages,resourceusages}.yaml
  established crd/clusterresourceusages.kwok.x-k8s.io crd/resourceusages.kwok.x-k8s.io
  kube_make "$here/templates/usage.yaml"
  start kwok "$bin/kwok" --kubeconfig="$run/kwok.kubeconfig" --config="$run/kwok.yaml"
  [ "$node_count" -eq 0 ] && return
  node_manifests >"$run/nodes.yaml"
  kube_make "$run/nodes.yaml"
  wait_for 60 kwok nodes_are_ready
}

nodes_are_ready() {
  kube wait --for=condition=Ready --timeout=0 node --selector type=kwok
}

# Nodes for the pods of tests. A given cluster may bring its own KWOK, or be used without one where there is no Go toolchain.
start_nodes() {
  if [ "$with_node" = yes ] && [ "$node_count" -eq 0 ]; then
    say "no KWOK nodes were asked for, so KWOK is not started"
  elif [ "$way" != local ] && [ -n "$(kube get nodes --selector type=kwok -o name)" ]; then
    say "the cluster has KWOK nodes already, so none are added"
  elif [ -n "$kwok_share" ]; then
    start_kwok
  else
    fail "the cluster has no node labelled type=kwok, and there is no Go toolchain to build KWOK with"
  fi
}
