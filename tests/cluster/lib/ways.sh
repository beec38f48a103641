# shellcheck shell=bash
# The three ways to a control plane: a cluster that is given, kind, and processes built from source.
# Expects: run, bin, way. Each way sets: api_url, audit_log and leaves admin.kubeconfig, kwok.kubeconfig, arbiter.kubeconfig.

docker_answers() { has docker && timeout 10 docker info >/dev/null 2>&1; }

choose_way() {
  if [ -n "${ARBITER_TEST_KUBECONFIG:-}" ]; then echo given
  elif has kind && docker_answers; then echo kind
  elif has go; then echo local
  else
    fail "there is no cluster to test against, and there are three ways to have one: set ARBITER_TEST_KUBECONFIG to the" \
      "kubeconfig of a cluster made for tests; or install kind and start a docker engine; or install a Go toolchain" \
      "(then the control plane is built from source)"
  fi
}

# A way that was asked for by name must be there.
check_way() {
  case $way in
    given) [ -n "${ARBITER_TEST_KUBECONFIG:-}" ] || fail "--way given needs ARBITER_TEST_KUBECONFIG, the kubeconfig of a cluster made for tests" ;;
    kind) { has kind && docker_answers; } || fail "--way kind needs kind on the PATH and a docker engine that answers" ;;
    local) has go || fail "--way local needs a Go toolchain on the PATH" ;;
    *) fail "--way must be local, kind or given, but is '$way'" ;;
  esac
}

# Only ever our own kubeconfig: the ambient one may be somebody's production.
kube() { KUBECONFIG=$run/admin.kubeconfig "$bin/kubectl" "$@"; }

# Waits until what is named is established. kubectl takes a definition that has no conditions yet for an error.
established() { # RESOURCE…
  local i
  for ((i = 0; i < 60; i++)); do
    kube wait --for=condition=Established --timeout=30s "$@" >/dev/null 2>&1 && return
    sleep 0.5
  done
  kube wait --for=condition=Established --timeout=30s "$@" >/dev/null
}

# Applies, and remembers for a cluster that outlives this run what is to be taken away again. Some tries, because a
# young API server may not know for a moment what it was taught just now (a CRD, say).
kube_make() { # FILE...
  local file
  for file in "$@"; do
    until_true 10 kube apply -f "$file" || kube apply -f "$file" >/dev/null
    [ "$way" != given ] || echo "$file" >>"$run/made"
  done
}

unmake() {
  local file
  [ -s "$run/made" ] || return 0
  tac "$run/made" | while read -r file; do
    [ ! -e "$file" ] || kube delete --ignore-not-found --wait=false --timeout=20s -f "$file" >/dev/null 2>&1 || true
  done
}

# --- processes from source ---------------------------------------------------------------------------------

open_local() {
  api_url=https://127.0.0.1:$api_port
  audit_log=$run/logs/audit.log
  make_pki
  start_control_plane
}

# --- a cluster of somebody else's --------------------------------------------------------------------------

open_given() {
  [ -r "$ARBITER_TEST_KUBECONFIG" ] || fail "ARBITER_TEST_KUBECONFIG names a file that cannot be read: $ARBITER_TEST_KUBECONFIG"
  KUBECONFIG=$ARBITER_TEST_KUBECONFIG "$bin/kubectl" config view --raw --minify --flatten >"$run/admin.kubeconfig" ||
    fail "ARBITER_TEST_KUBECONFIG is no kubeconfig with a current context: $ARBITER_TEST_KUBECONFIG"
  audit_log=${ARBITER_TEST_AUDIT_LOG:-}
  adopt_cluster
}

# What both foreign ways need: an own serving certificate for KWOK, and an identity for arbiter signed by that cluster.
adopt_cluster() {
  chmod 600 "$run/admin.kubeconfig"
  api_url=$(kube config view --raw --minify -o 'jsonpath={.clusters[0].cluster.server}')
  kube get --raw /readyz --request-timeout=20s >/dev/null || fail "the API server $api_url is not ready for the kubeconfig given"
  pki=$run/pki
  kube config view --raw --minify -o 'jsonpath={.clusters[0].cluster.certificate-authority-data}' | base64 -d >"$pki/ca.crt"
  authority kwok-ca
  certificate serving kwok-ca /CN=localhost "DNS:localhost,IP:127.0.0.1"
  cp -p "$run/admin.kubeconfig" "$run/kwok.kubeconfig"
  sign_arbiter
}

# A client certificate for the user arbiter through the cluster's own signer.
sign_arbiter() {
  local request=arbiter-test-${run##*[./]}
  openssl req "${new_key[@]}" -subj /CN=arbiter -keyout "$pki/arbiter.key" -out "$pki/arbiter.csr" 2>/dev/null
  kube apply -f - >/dev/null <<YAML
apiVersion: certificates.k8s.io/v1
kind: CertificateSigningRequest
metadata: {name: $request}
spec:
  signerName: kubernetes.io/kube-apiserver-client
  expirationSeconds: 604800
  usages: [client auth]
  request: $(base64 -w0 "$pki/arbiter.csr")
YAML
  kube certificate approve "$request" >/dev/null
  kube wait --for='jsonpath={.status.certificate}' --timeout=30s "csr/$request" >/dev/null ||
    fail "the cluster signed no client certificate for the user arbiter (CertificateSigningRequest $request)"
  kube get csr "$request" -o 'jsonpath={.status.certificate}' | base64 -d >"$pki/arbiter.crt"
  kube delete csr "$request" >/dev/null
  kubeconfig "$run/arbiter.kubeconfig" "$api_url" "$pki/ca.crt" "$pki/arbiter.crt" "$pki/arbiter.key"
}

# --- kind --------------------------------------------------------------------------------------------------

kind_name() { echo "arbiter-$(sha256sum <<<"$run" | cut -c1-10)"; }

open_kind() {
  audit_log=$run/logs/audit/audit.log
  mkdir -p "$run/logs/audit" "$run/kind"
  cp "$here/templates/audit-policy.yaml" "$run/kind/"
  sed -e "s#@RUN@#$run#g" -e "s#@HPA_SYNC@#$hpa_sync#g" "$here/templates/kind.yaml" >"$run/kind/kind.yaml"
  kind_name >"$run/kind/name"
  kind create cluster --name "$(kind_name)" --config "$run/kind/kind.yaml" --kubeconfig "$run/admin.kubeconfig" \
    --wait 180s >"$run/logs/kind.log" 2>&1 || { tail -n 20 "$run/logs/kind.log" >&2; fail "kind made no cluster"; }
  adopt_cluster
}

close_kind() {
  [ -f "$run/kind/name" ] || return 0
  kind delete cluster --name "$(cat "$run/kind/name")" --kubeconfig "$run/admin.kubeconfig" >/dev/null 2>&1 ||
    say "kind could not delete the cluster $(cat "$run/kind/name")"
}
