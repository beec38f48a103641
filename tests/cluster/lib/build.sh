# shellcheck shell=bash
# Builds the programs of the cluster from Go modules and keeps them outside the checkout.
#
# A part is a group of programs that is built, and cached, as one: CACHE/bin/PART-KEY. The key is a hash of
# all that decides the bytes: versions and sums (tools/kube/go.sum for Kubernetes), build flags, the Go
# version, and the shell functions that build it. A part is built in a folder of its own that is renamed when all of it is
# there: a folder with the final name is always whole. A lock makes a second caller wait for the first.
#
# The Go build cache is private (CACHE/gocache) and is deleted when all that was asked for is there: it holds several GB that
# nothing reads again, as the programs themselves are cached. After a failure it stays, so that the next try
# goes on where this one stopped. The module cache is the user's own.

ALL_PARTS=(nats kwok helm prometheus kubectl control-plane metrics-server peer-crds vpa keda argo-rollouts flagger)
# The real node's, built only where one is asked for.
NODE_PARTS=(kubelet containerd)

build_flags=(-trimpath)
export_build_environment() {
  export CGO_ENABLED=0 GOWORK=off GOFLAGS=-buildvcs=false
  GOCACHE=$(cache_dir)/gocache
  export GOCACHE
}

programs_of() {
  case $1 in
    nats) echo nats-server ;;
    kwok) echo kwok ;;
    helm) echo helm ;;
    prometheus) echo prometheus promtool ;;
    kubectl) echo kubectl ;;
    control-plane) echo etcd kube-apiserver kube-controller-manager kube-scheduler ;;
    metrics-server) echo metrics-server ;;
    peer-crds) ;; # manifests only
    vpa) echo vpa-recommender vpa-updater vpa-admission-controller ;;
    keda) echo keda-operator keda-adapter keda-webhooks ;;
    argo-rollouts) echo rollouts-controller ;;
    flagger) echo flagger ;;
    kubelet) echo kubelet ;;
    containerd) echo containerd containerd-shim-runc-v2 ctr ;;
    *) fail "no such part: '$1' (there are: ${ALL_PARTS[*]} ${NODE_PARTS[*]})" ;;
  esac
}

# --- keys --------------------------------------------------------------------------------------------------

# What a part is made from.
inputs_of() {
  case $1 in
    nats) echo "$NATS_VERSION $NATS_SUM" ;;
    kwok) echo "$KWOK_VERSION $KWOK_SUM" ;;
    helm) echo "$HELM_VERSION $HELM_SUM" ;;
    prometheus) echo "$PROMETHEUS_VERSION $PROMETHEUS_SUM" ;;
    metrics-server) echo "$METRICS_SERVER_VERSION $METRICS_SERVER_SUM" ;;
    peer-crds) echo "$VPA_VERSION $VPA_SUM $KEDA_VERSION $KEDA_SUM" ;;
    vpa) echo "$VPA_VERSION $VPA_SUM" ;;
    keda) echo "$KEDA_VERSION $KEDA_SUM" ;;
    argo-rollouts) echo "$ARGO_ROLLOUTS_VERSION $ARGO_ROLLOUTS_SUM" ;;
    flagger) echo "$FLAGGER_VERSION $FLAGGER_SUM" ;;
    containerd) echo "$CONTAINERD_VERSION $CONTAINERD_SUM" ;;
    kubectl | control-plane) echo "$KUBE_VERSION"; cat "$here/tools/kube/go.mod" "$here/tools/kube/go.sum" ;;
    kubelet) echo "$KUBE_VERSION"; cat "$here/tools/kubelet/go.mod" "$here/tools/kubelet/go.sum" ;;
  esac
}

# The Go that really compiles: in tools/kube, since a go.mod can ask for a newer one than the PATH's.
go_version_used() {
  local version
  version=$(cd "$here/tools/kube" && go env GOVERSION GOOS GOARCH 2>&1) ||
    fail "the Go toolchain does not take tools/kube: $version"
  echo "$version"
}

# `declare -f` prints the functions without their comments, so that words can change without a build.
key_of() { # PART GO_VERSION
  {
    echo "$2 ${build_flags[*]}"
    programs_of "$1"
    inputs_of "$1"
    declare -f "build_${1//-/_}" go_build kube_version_flags keep_kwok_manifests
  } | sha256sum | cut -c1-16
}

# --- building ----------------------------------------------------------------------------------------------

# The folder of a module's source, after comparing its sum with the pinned one.
module_source() { # MODULE VERSION SUM
  local answer sum
  answer=$(cd / && go mod download -json "$1@$2") || fail "module $1@$2 cannot be had: $(grep -m1 Error <<<"$answer")"
  sum=$(sed -n 's/^\t"Sum": "\(.*\)",*$/\1/p' <<<"$answer")
  [ "$sum" = "$3" ] || fail "module $1@$2 has the sum $sum, but versions.env says $3"
  sed -n 's/^\t"Dir": "\(.*\)",*$/\1/p' <<<"$answer"
}

# Several of these modules refuse `go install MODULE@VERSION` (replace, exclude). Each is built inside its own source folder:
# there it is the main module and its own go.mod and go.sum hold.
go_build() { # SOURCE OUTPUT PACKAGE [LDFLAGS]
  (cd "$1" && go build -mod=readonly "${build_flags[@]}" -ldflags "-s -w ${4:-}" -o "$2" "$3")
}

kube_version_flags() {
  local package
  for package in k8s.io/component-base/version k8s.io/client-go/pkg/version; do
    printf -- '-X %s.gitVersion=%s -X %s.gitMajor=%s -X %s.gitMinor=%s -X %s.gitTreeState=clean ' \
      "$package" "$KUBE_VERSION" "$package" "$(cut -d. -f1 <<<"${KUBE_VERSION#v}")" \
      "$package" "$(cut -d. -f2 <<<"${KUBE_VERSION#v}")" "$package"
  done
}

# One function for each part: builds its programs into the folder OUT.

build_nats() { # OUT
  local source
  source=$(module_source github.com/nats-io/nats-server/v2 "$NATS_VERSION" "$NATS_SUM")
  go_build "$source" "$1/nats-server" .
}

build_kwok() { # OUT
  local source
  source=$(module_source sigs.k8s.io/kwok "$KWOK_VERSION" "$KWOK_SUM")
  go_build "$source" "$1/kwok" ./cmd/kwok "-X sigs.k8s.io/kwok/pkg/consts.Version=$KWOK_VERSION"
  keep_kwok_manifests "$source/kustomize" "$1/share/kwok"
}

build_helm() { # OUT
  local source
  source=$(module_source helm.sh/helm/v3 "$HELM_VERSION" "$HELM_SUM")
  go_build "$source" "$1/helm" ./cmd/helm "-X helm.sh/helm/v3/internal/version.version=$HELM_VERSION"
}

# Without the tag builtinassets: the module does not hold the pages of the web UI. The HTTP API is whole.
build_prometheus() { # OUT
  local source name
  source=$(module_source github.com/prometheus/prometheus "$PROMETHEUS_VERSION" "$PROMETHEUS_SUM")
  for name in prometheus promtool; do
    go_build "$source" "$1/$name" "./cmd/$name" "-X github.com/prometheus/common/version.Version=$PROMETHEUS_RELEASE"
  done
}

build_metrics_server() { # OUT
  local source
  source=$(module_source sigs.k8s.io/metrics-server "$METRICS_SERVER_VERSION" "$METRICS_SERVER_SUM")
  go_build "$source" "$1/metrics-server" ./cmd/metrics-server
}

# The other autoscalers: their CRDs (and KEDA's webhook configuration) as they ship them. Nothing is compiled, so every cluster has
# them, and a test can install the real CRDs without the programs.
build_peer_crds() { # OUT
  local vpa keda
  vpa=$(module_source k8s.io/autoscaler/vertical-pod-autoscaler "$VPA_VERSION" "$VPA_SUM")
  keda=$(module_source github.com/kedacore/keda/v2 "$KEDA_VERSION" "$KEDA_SUM")
  mkdir -p "$1/crds/vpa" "$1/crds/keda" "$1/crds/keda-webhooks"
  install -m 644 "$vpa/deploy/vpa-v1-crd-gen.yaml" "$1/crds/vpa/"
  install -m 644 "$keda"/config/crd/bases/*.yaml "$1/crds/keda/"
  install -m 644 "$keda/config/webhooks/validation_webhooks.yaml" "$1/crds/keda-webhooks/"
}

build_vpa() { # OUT
  local source name
  source=$(module_source k8s.io/autoscaler/vertical-pod-autoscaler "$VPA_VERSION" "$VPA_SUM")
  for name in recommender updater admission-controller; do
    go_build "$source" "$1/vpa-$name" "./pkg/$name"
  done
}

build_keda() { # OUT
  local source name
  source=$(module_source github.com/kedacore/keda/v2 "$KEDA_VERSION" "$KEDA_SUM")
  for name in operator adapter webhooks; do
    go_build "$source" "$1/keda-$name" "./cmd/$name" "-X github.com/kedacore/keda/v2/version.Version=$KEDA_VERSION"
  done
}

# Neighbours that tests start themselves (tests/cluster/targets.rs), with their custom resource definitions.
build_argo_rollouts() { # OUT
  local source name
  source=$(module_source github.com/argoproj/argo-rollouts "$ARGO_ROLLOUTS_VERSION" "$ARGO_ROLLOUTS_SUM")
  go_build "$source" "$1/rollouts-controller" ./cmd/rollouts-controller
  mkdir -p "$1/crds"
  for name in rollout experiment analysis-run analysis-template cluster-analysis-template; do
    install -m 644 "$source/manifests/crds/$name-crd.yaml" "$1/crds/$name.yaml"
  done
}

build_flagger() { # OUT
  local source
  source=$(module_source github.com/fluxcd/flagger "$FLAGGER_VERSION" "$FLAGGER_SUM")
  go_build "$source" "$1/flagger" ./cmd/flagger
  mkdir -p "$1/crds"
  install -m 644 "$source/artifacts/flagger/crd.yaml" "$1/crds/flagger.yaml"
}

build_kubectl() { # OUT
  go_build "$here/tools/kube" "$1/kubectl" k8s.io/kubernetes/cmd/kubectl "$(kube_version_flags)"
}

build_control_plane() { # OUT
  local name
  go_build "$here/tools/kube" "$1/etcd" go.etcd.io/etcd/server/v3
  for name in kube-apiserver kube-controller-manager kube-scheduler; do
    go_build "$here/tools/kube" "$1/$name" "k8s.io/kubernetes/cmd/$name" "$(kube_version_flags)"
  done
}

build_kubelet() { # OUT
  go_build "$here/tools/kubelet" "$1/kubelet" k8s.io/kubernetes/cmd/kubelet "$(kube_version_flags)"
}

build_containerd() { # OUT
  local source name
  source=$(module_source github.com/containerd/containerd/v2 "$CONTAINERD_VERSION" "$CONTAINERD_SUM")
  for name in containerd containerd-shim-runc-v2 ctr; do
    go_build "$source" "$1/$name" "./cmd/$name" "-X github.com/containerd/containerd/v2/version.Version=$CONTAINERD_VERSION"
  done
}

# KWOK's own stages for nodes and its CRDs are used as they are; those for pods are ours (templates/kwok.yaml).
keep_kwok_manifests() { # KUSTOMIZE_FOLDER OUT
  mkdir -p "$2"
  local file
  for file in stage/node/fast/node-initialize stage/node/heartbeat-with-lease/node-heartbeat-with-lease \
    metrics/resource/metrics-resource crd/bases/kwok.x-k8s.io_clusterresourceusages crd/bases/kwok.x-k8s.io_resourceusages; do
    install -m 644 "$1/$file.yaml" "$2/${file##*/}.yaml"
  done
}

# --- cache -------------------------------------------------------------------------------------------------

# Builds the part unless the cache has it. A subshell, so that errexit works and the temporary folder always goes.
ensure_part() ( # PART KEY
  set -euo pipefail
  final=$(cache_dir)/bin/$1-$2
  [ -d "$final" ] && exit 0
  started=$EPOCHREALTIME
  programs=$(programs_of "$1")
  say "building $1${programs:+ ($programs)} …"
  temporary=$(mktemp -d "$(cache_dir)/bin/.building-$1.XXXXXX")
  trap 'rm -rf "$temporary"' EXIT
  "build_${1//-/_}" "$temporary"
  for name in $programs; do
    [ -x "$temporary/$name" ] || fail "the build of $1 left no program $name"
  done
  chmod 755 "$temporary"
  mv -T "$temporary" "$final"
  say "built $1 in $(since "$started")"
)

# One folder of links for one set of parts, so that callers have a single folder for their PATH. Prints it.
link_parts() { # NAME=PATH...
  local set_key folder pair temporary
  set_key=$(printf '%s\n' "$@" | sha256sum | cut -c1-16)
  folder=$(cache_dir)/bin/all-$set_key
  if [ ! -d "$folder" ]; then
    temporary=$(mktemp -d "$(cache_dir)/bin/.linking.XXXXXX")
    for pair in "$@"; do ln -s "${pair#*=}" "$temporary/${pair%%=*}"; done
    chmod 755 "$temporary"
    mv -T "$temporary" "$folder" 2>/dev/null || rm -rf "$temporary"
  fi
  echo "$folder"
}

# Builds what is missing of the named parts and prints the folder with all of their programs.
ensure_parts() { # PART...
  has go || fail "there is no Go toolchain on the PATH to build $* with"
  local part go_version pairs=() name keys=() lock
  mkdir -p "$(cache_dir)/bin"
  export_build_environment
  go_version=$(go_version_used)
  exec {lock}>"$(cache_dir)/build.lock"
  flock -n "$lock" || { say "waiting for another build of the same cache …"; flock "$lock"; }
  rm -rf "$(cache_dir)"/bin/.building-* # of a build that was killed: nobody else builds now
  for part in "$@"; do
    keys+=("$(key_of "$part" "$go_version")")
    ensure_part "$part" "${keys[-1]}" || fail "the build of $part failed; what is above says why"
    for name in $(programs_of "$part"); do pairs+=("$name=../$part-${keys[-1]}/$name"); done
    [ "$part" != kwok ] || pairs+=("share=../$part-${keys[-1]}/share")
    [ "$part" != peer-crds ] || pairs+=("crds=../$part-${keys[-1]}/crds")
    [[ ! $part =~ ^(argo-rollouts|flagger)$ ]] || pairs+=("$part-crds=../$part-${keys[-1]}/crds")
  done
  rm -rf "$GOCACHE"
  link_parts "${pairs[@]}"
  exec {lock}>&-
}
