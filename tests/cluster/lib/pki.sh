# shellcheck shell=bash
# Certificates and kubeconfigs of a local cluster. Expects: run. Sets: pki, api_url.

new_key=(-newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes)

# A process whose clock is behind must find them valid: where faketime(1) is there, as in a cluster with a real node, they
# are yesterday's.
signed() { if command -v faketime >/dev/null; then faketime -f -1d openssl "$@"; else openssl "$@"; fi; }

authority() { # NAME
  signed req -x509 "${new_key[@]}" -days 3650 -subj "/CN=$1" -keyout "$pki/$1.key" -out "$pki/$1.crt" \
    -addext basicConstraints=critical,CA:TRUE -addext keyUsage=critical,keyCertSign,cRLSign,digitalSignature 2>/dev/null
}

# A key and certificate for both ends of a connection; names are needed only where it serves.
certificate() { # NAME AUTHORITY SUBJECT [NAMES]
  local extensions="extendedKeyUsage=clientAuth,serverAuth
keyUsage=critical,digitalSignature"
  [ -z "${4:-}" ] || extensions+="
subjectAltName=$4"
  openssl req "${new_key[@]}" -subj "$3" -keyout "$pki/$1.key" -out "$pki/$1.csr" 2>/dev/null
  signed x509 -req -in "$pki/$1.csr" -CA "$pki/$2.crt" -CAkey "$pki/$2.key" -CAcreateserial -days 3650 \
    -extfile <(echo "$extensions") -out "$pki/$1.crt" 2>/dev/null
}

kubeconfig() { # FILE URL CA_FILE CERTIFICATE_FILE KEY_FILE
  cat >"$1" <<YAML
apiVersion: v1
kind: Config
current-context: test
contexts:
- {name: test, context: {cluster: test, user: test}}
clusters:
- name: test
  cluster: {server: "$2", certificate-authority-data: $(base64 -w0 "$3")}
users:
- name: test
  user: {client-certificate-data: $(base64 -w0 "$4"), client-key-data: $(base64 -w0 "$5")}
YAML
  chmod 600 "$1"
}

local_kubeconfig() { # NAME
  kubeconfig "$run/$1.kubeconfig" "$api_url" "$pki/ca.crt" "$pki/$1.crt" "$pki/$1.key"
}

make_pki() {
  local name
  pki=$run/pki
  authority ca
  authority front-proxy-ca
  certificate apiserver ca /CN=kube-apiserver \
    "DNS:localhost,DNS:kubernetes,DNS:kubernetes.default,DNS:kubernetes.default.svc,IP:127.0.0.1,IP:10.96.0.1"
  certificate front-proxy-client front-proxy-ca /CN=front-proxy-client
  certificate serving ca /CN=localhost "DNS:localhost,IP:127.0.0.1"
  certificate kubelet-client ca /O=system:masters/CN=apiserver-to-kubelet
  certificate admin ca /O=system:masters/CN=admin
  certificate kwok ca /O=system:masters/CN=kwok
  certificate arbiter ca /CN=arbiter # no group: all that it may do comes from the RBAC that a test applies
  certificate metrics-server ca /CN=metrics-server
  certificate controller-manager ca /CN=system:kube-controller-manager
  certificate scheduler ca /CN=system:kube-scheduler
  openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out "$pki/service-account.key" 2>/dev/null
  openssl pkey -in "$pki/service-account.key" -pubout -out "$pki/service-account.pub"
  for name in admin kwok arbiter metrics-server controller-manager scheduler; do local_kubeconfig "$name"; done
}
