# shellcheck shell=bash
# VPA and KEDA as processes beside the API server: the real programs, with the CRDs and the webhooks that they ship.
# Expects: run, bin, pki, api_url, the ports.

peer_processes=(vpa-admission-controller vpa-recommender vpa-updater keda-operator keda-adapter keda-webhooks)

# Time is shortened for VPA, whose courses take weeks: a day of its memory lasts half a minute. Its defaults are a half-life of 24 h,
# 60 s for both intervals, and 12 h for a pod whose request lies within the bounds. Nothing else of it, and nothing of
# KEDA or of the HPA controller, is shortened. 15 s is as often as metrics-server has something new.
vpa_half_life=30s
vpa_interval=15s
vpa_lifetime=15s

# Identities of their own, so that the audit log tells them apart. Their rights are not what is tested.
make_peer_identities() {
  local name
  for name in "${peer_processes[@]}"; do
    certificate "$name" ca "/O=system:masters/CN=$name"
    local_kubeconfig "$name"
  done
  # The aggregator verifies SERVICE.NAMESPACE.svc; operator and adapter speak TLS with each other, in both directions.
  certificate keda ca /CN=keda "DNS:localhost,IP:127.0.0.1,DNS:keda-metrics-apiserver.keda.svc"
  mkdir -p "$run/keda"
  cp "$pki/ca.crt" "$run/keda/ca.crt"
  cp "$pki/keda.crt" "$run/keda/tls.crt"
  cp "$pki/keda.key" "$run/keda/tls.key"
}

# Server-side: one of KEDA's is larger than the annotation that a client-side apply would leave.
make_peer_crds() {
  local crds=("$bin"/crds/vpa/*.yaml "$bin"/crds/keda/*.yaml) arguments=() file
  for file in "${crds[@]}"; do arguments+=(--filename "$file"); done
  kube apply --server-side --force-conflicts "${arguments[@]}" >/dev/null
  established "${arguments[@]}"
}

start_vpa_admission_controller() {
  start vpa-admission-controller "$bin/vpa-admission-controller" --kubeconfig="$run/vpa-admission-controller.kubeconfig" \
    --register-by-url=true --webhook-address=https://127.0.0.1 --webhook-port="$vpa_webhook_port" --port="$vpa_webhook_port" \
    --client-ca-file="$pki/ca.crt" --tls-cert-file="$pki/serving.crt" --tls-private-key="$pki/serving.key" \
    --address="127.0.0.1:$vpa_admission_port"
}

start_vpa_recommender() {
  start vpa-recommender "$bin/vpa-recommender" --kubeconfig="$run/vpa-recommender.kubeconfig" \
    --address="127.0.0.1:$vpa_recommender_port" --recommender-interval="$vpa_interval" \
    --cpu-histogram-decay-half-life="$vpa_half_life"
  wait_for 30 vpa-recommender answers "$vpa_recommender_port" health-check
}

start_vpa_updater() {
  start vpa-updater "$bin/vpa-updater" --kubeconfig="$run/vpa-updater.kubeconfig" \
    --address="127.0.0.1:$vpa_updater_port" --updater-interval="$vpa_interval" \
    --in-recommendation-bounds-eviction-lifetime-threshold="$vpa_lifetime"
  wait_for 30 vpa-updater answers "$vpa_updater_port" health-check
}

# The admission controller registers its webhook ten seconds after its start, and the updater evicts nothing before.
start_vpa() {
  start_vpa_admission_controller
  start_vpa_recommender
  start_vpa_updater
}

vpa_is_ready() {
  answers "$vpa_admission_port" health-check && kube get mutatingwebhookconfiguration vpa-webhook-config
}

keda_environment=(env WATCH_NAMESPACE= POD_NAMESPACE=keda KEDA_CLUSTER_OBJECT_NAMESPACE=keda)

start_keda_operator() {
  start keda-operator "${keda_environment[@]}" "$bin/keda-operator" --kubeconfig="$run/keda-operator.kubeconfig" \
    --metrics-bind-address="127.0.0.1:$keda_metrics_port" --health-probe-bind-address="127.0.0.1:$keda_health_port" \
    --metrics-service-bind-address="127.0.0.1:$keda_grpc_port" --cert-dir="$run/keda" --enable-cert-rotation=false
  wait_for 30 keda-operator answers "$keda_health_port" readyz
}

start_keda_adapter() {
  local config=$run/keda-adapter.kubeconfig certificates=$run/keda
  start keda-adapter "${keda_environment[@]}" "$bin/keda-adapter" --kubeconfig="$config" \
    --authentication-kubeconfig="$config" --authorization-kubeconfig="$config" --lister-kubeconfig="$config" \
    --bind-address=127.0.0.1 --secure-port="$keda_adapter_port" --port="$keda_adapter_metrics_port" \
    --metrics-service-address="127.0.0.1:$keda_grpc_port" --cert-dir="$certificates" \
    --tls-cert-file="$certificates/tls.crt" --tls-private-key-file="$certificates/tls.key" --client-ca-file="$certificates/ca.crt"
}

start_keda_webhooks() {
  start keda-webhooks "${keda_environment[@]}" "$bin/keda-webhooks" --kubeconfig="$run/keda-webhooks.kubeconfig" \
    --port="$keda_webhook_port" --cert-dir="$run/keda" --metrics-bind-address="127.0.0.1:$keda_webhook_metrics_port" \
    --health-probe-bind-address="127.0.0.1:$keda_webhook_health_port"
  wait_for 30 keda-webhooks answers "$keda_webhook_health_port" readyz
}

# The adapter before its APIService: after one failed check the aggregator waits long before the next.
start_keda() {
  local bundle
  bundle=$(base64 -w0 "$pki/ca.crt")
  start_keda_operator
  start_keda_adapter
  start_keda_webhooks
  sed -e "s#@PORT@#$keda_adapter_port#g" -e "s#@CA@#$bundle#g" "$here/templates/keda.yaml" >"$run/keda/keda.yaml"
  # An API server on loopback reaches a webhook by its URL; the Service that KEDA ships could not point there.
  sed -e '/^    service:$/d' -e '/^      name: keda-admission-webhooks$/d' -e '/^      namespace: keda$/d' \
    -e "s#^      path: \(/.*\)#    url: https://127.0.0.1:$keda_webhook_port\1\n    caBundle: $bundle#" \
    "$bin/crds/keda-webhooks/validation_webhooks.yaml" >"$run/keda/webhooks.yaml"
  kube_make "$run/keda/keda.yaml" "$run/keda/webhooks.yaml"
  wait_for 60 keda-adapter kube wait --for=condition=Available --timeout=0 apiservice/v1beta1.external.metrics.k8s.io
}

answers() { curl -fs --max-time 2 "http://127.0.0.1:$1/$2"; } # PORT PATH

start_peers() {
  make_peer_identities
  make_peer_crds
  kube_make "$here/templates/keda-namespace.yaml"
  start_vpa
  start_keda
  wait_for 60 vpa-admission-controller vpa_is_ready
}

# A foreign API server cannot reach processes on this machine's loopback, so there the cluster must bring its own.
offer_peers() {
  if [ "$way" = local ]; then
    start_peers
  else
    kube get crd verticalpodautoscalers.autoscaling.k8s.io scaledobjects.keda.sh >/dev/null 2>&1 ||
      fail "the cluster ($way) has no VPA and no KEDA; install both in it"
  fi
}
