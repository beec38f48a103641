# shellcheck shell=bash
# etcd, kube-apiserver, kube-controller-manager and kube-scheduler as processes on loopback.
# Expects: run, bin, pki, api_url, the ports, hpa_sync.

start_etcd() {
  local client=http://127.0.0.1:$etcd_port peer=http://127.0.0.1:$etcd_peer_port
  start etcd "$bin/etcd" --name=test --data-dir="$run/etcd" --unsafe-no-fsync --log-level=warn \
    --listen-client-urls="$client" --advertise-client-urls="$client" \
    --listen-peer-urls="$peer" --initial-advertise-peer-urls="$peer" --initial-cluster="test=$peer"
}

# --endpoint-reconciler-type=none: endpoints may not be loopback addresses, so the kubernetes Service has none.
# No --enable-aggregator-routing: with it the aggregator refuses the ExternalName Service of metrics-server.
start_apiserver() {
  start kube-apiserver "$bin/kube-apiserver" --etcd-servers="http://127.0.0.1:$etcd_port" \
    --bind-address=127.0.0.1 --advertise-address=127.0.0.1 --secure-port="$api_port" --endpoint-reconciler-type=none \
    --tls-cert-file="$pki/apiserver.crt" --tls-private-key-file="$pki/apiserver.key" --client-ca-file="$pki/ca.crt" \
    --authorization-mode=Node,RBAC --anonymous-auth=false --allow-privileged=true --service-cluster-ip-range=10.96.0.0/16 \
    --service-account-issuer=https://kubernetes.default.svc \
    --service-account-signing-key-file="$pki/service-account.key" --service-account-key-file="$pki/service-account.pub" \
    --kubelet-client-certificate="$pki/kubelet-client.crt" --kubelet-client-key="$pki/kubelet-client.key" \
    --kubelet-preferred-address-types=InternalIP,Hostname \
    --requestheader-client-ca-file="$pki/front-proxy-ca.crt" --requestheader-allowed-names=front-proxy-client \
    --requestheader-username-headers=X-Remote-User --requestheader-group-headers=X-Remote-Group \
    --requestheader-extra-headers-prefix=X-Remote-Extra- \
    --proxy-client-cert-file="$pki/front-proxy-client.crt" --proxy-client-key-file="$pki/front-proxy-client.key" \
    --audit-policy-file="$here/templates/audit-policy.yaml" --audit-log-path="$audit_log" \
    --audit-log-mode=blocking --audit-log-maxsize=4096
}

start_controller_manager() {
  local config=$run/controller-manager.kubeconfig
  start kube-controller-manager "$bin/kube-controller-manager" --kubeconfig="$config" \
    --authentication-kubeconfig="$config" --authorization-kubeconfig="$config" \
    --bind-address=127.0.0.1 --secure-port="$controller_manager_port" --leader-elect=false \
    --tls-cert-file="$pki/serving.crt" --tls-private-key-file="$pki/serving.key" \
    --use-service-account-credentials=true --root-ca-file="$pki/ca.crt" \
    --service-account-private-key-file="$pki/service-account.key" \
    --cluster-signing-cert-file="$pki/ca.crt" --cluster-signing-key-file="$pki/ca.key" \
    --horizontal-pod-autoscaler-sync-period="$hpa_sync"
}

start_scheduler() {
  local config=$run/scheduler.kubeconfig
  start kube-scheduler "$bin/kube-scheduler" --kubeconfig="$config" \
    --authentication-kubeconfig="$config" --authorization-kubeconfig="$config" \
    --tls-cert-file="$pki/serving.crt" --tls-private-key-file="$pki/serving.key" \
    --bind-address=127.0.0.1 --secure-port="$scheduler_port" --leader-elect=false
}

start_control_plane() {
  start_etcd
  start_apiserver
  wait_for 90 kube-apiserver api_is_ready
  start_controller_manager
  start_scheduler
  wait_for 60 kube-controller-manager kube get serviceaccount default --namespace default
  wait_for 60 kube-scheduler kube get --raw /api/v1/namespaces/default
}

# curl, not kubectl: asked ten times a second, and half as dear.
api_is_ready() {
  curl -fs --max-time 5 --cacert "$pki/ca.crt" --cert "$pki/admin.crt" --key "$pki/admin.key" "$api_url/readyz"
}
