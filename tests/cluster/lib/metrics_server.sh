# shellcheck shell=bash
# metrics-server as a process beside the API server. Expects: run, bin, pki, metrics_server_port.

# Its RBAC first: without it metrics-server ends at once. Its APIService last: after one failed check the aggregator waits
# long before the next.
start_metrics_server() {
  kube_make "$here/templates/metrics-server-rbac.yaml"
  until_true 20 metrics_server_is_allowed || fail "the API server does not take the RBAC of metrics-server into force"
  launch_metrics_server
  sed "s#@PORT@#$metrics_server_port#g" "$here/templates/metrics-server.yaml" >"$run/metrics-server.yaml"
  kube_make "$run/metrics-server.yaml"
  wait_for 60 metrics-server kube wait --for=condition=Available --timeout=0 apiservice/v1beta1.metrics.k8s.io
}

metrics_server_is_allowed() {
  kube auth can-i get configmaps/extension-apiserver-authentication --namespace kube-system --as metrics-server &&
    kube auth can-i create tokenreviews.authentication.k8s.io --as metrics-server &&
    kube auth can-i list nodes --as metrics-server
}

launch_metrics_server() {
  local config=$run/metrics-server.kubeconfig
  start metrics-server "$bin/metrics-server" --kubeconfig="$config" \
    --authentication-kubeconfig="$config" --authorization-kubeconfig="$config" \
    --bind-address=127.0.0.1 --secure-port="$metrics_server_port" \
    --tls-cert-file="$pki/serving.crt" --tls-private-key-file="$pki/serving.key" \
    --kubelet-use-node-status-port --kubelet-preferred-address-types=InternalIP \
    --kubelet-certificate-authority="$pki/ca.crt" \
    --kubelet-client-certificate="$pki/kubelet-client.crt" --kubelet-client-key="$pki/kubelet-client.key" \
    --metric-resolution=15s --kubelet-request-timeout=5s
}

# A foreign API server cannot reach a process of this machine's loopback, so there the cluster must bring metrics-server.
offer_metrics() {
  if [ "$way" = local ]; then
    start_metrics_server
  else
    kube wait --for=condition=Available --timeout=30s apiservice/v1beta1.metrics.k8s.io >/dev/null 2>&1 ||
      fail "--with-metrics-server: the cluster ($way) serves no metrics.k8s.io; install metrics-server in it"
  fi
}
