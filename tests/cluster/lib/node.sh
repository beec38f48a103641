# shellcheck shell=bash
# One real node: containerd and a kubelet, in a PID and a mount namespace of their own (lib/node_init.sh) and under one cgroup, so
# that nothing of them outlives the cluster. Pods are reached from this machine over a bridge; there is no NAT, no kube-proxy and
# no cluster DNS. Expects: run, bin, pki, api_url, port_base, kubelet_port, kubelet_health_port.

PATH=$PATH:/usr/sbin:/sbin # ip, iptables and runc, which the PATH of a script need not have
node_name=real-0
service_image=localhost/arbiter-test-service:1
sandbox_image=localhost/arbiter-test-pause:1

# Names and addresses that no other cluster of this machine has: all come from the block of ports.
name_node() {
  local index=$(((port_base - first_block) / ports_per_cluster))
  node_tag=arbiter$port_base # the cgroup, and the bridge: at most 15 characters
  node_net=10.$((244 + index / 256)).$((index % 256))
  node_ip=$node_net.1
}

# Before anything is started.
check_node() {
  [ "$way" = local ] || fail "--with-node needs the way local: the kubelet of this machine joins no cluster of somebody else's"
  [ "$UID" = 0 ] || fail "--with-node needs root: a kubelet makes cgroups, mounts and network devices"
  "$here/node-packages" || exit 1
  need_programs runc ip nsenter unshare rustc tar
  unshare --mount --pid --fork true 2>/dev/null || fail "--with-node needs mount and PID namespaces, and unshare gets none here"
}

# --- cgroups -----------------------------------------------------------------------------------------------

cgroup_version() { if [ -e /sys/fs/cgroup/cgroup.controllers ]; then echo 2; else echo 1; fi; }

# What a kubelet asks for, and io for its figures.
node_controllers=(cpu cpuset memory pids hugetlb io)

# Against the machine's other processes, each of which may weigh as much as a whole cgroup: what pods request is to be theirs.
node_weight=16

make_node_cgroup() {
  if [ "$(cgroup_version)" = 2 ]; then make_cgroup_v2; else make_cgroup_v1; fi
}

# What is turned on in the root here is noted, to be turned off again.
make_cgroup_v2() {
  local root=/sys/fs/cgroup name
  mkdir "$root/$node_tag"
  for name in "${node_controllers[@]}"; do
    [[ " $(cat $root/cgroup.controllers) " == *" $name "* ]] || continue
    if [[ " $(cat $root/cgroup.subtree_control) " != *" $name "* ]]; then
      { echo "+$name" >$root/cgroup.subtree_control; } 2>/dev/null ||
        fail "the cgroup controller $name cannot be turned on for children of $root (processes in it stand in the way)"
      echo "$name" >>"$run/node/controllers"
    fi
    echo "+$name" >"$root/$node_tag/cgroup.subtree_control"
  done
  echo $((100 * node_weight)) >"$root/$node_tag/cpu.weight"
}

make_cgroup_v1() {
  local name file
  for name in cpu cpuacct cpuset memory devices freezer blkio pids systemd hugetlb; do
    [ ! -d "/sys/fs/cgroup/$name" ] || mkdir -p "/sys/fs/cgroup/$name/$node_tag" # several names may be one hierarchy
  done
  for file in cpuset.cpus cpuset.mems; do # a new cpuset is empty, and takes no process
    cat "/sys/fs/cgroup/cpuset/$file" >"/sys/fs/cgroup/cpuset/$node_tag/$file"
  done
  echo $((1024 * node_weight)) >"/sys/fs/cgroup/cpu/$node_tag/cpu.shares"
}

remove_node_cgroup() {
  local name
  until_true 10 cgroups_are_gone || say "cgroups of the node are left: $(node_cgroups | tr '\n' ' ')"
  [ -f "$run/node/controllers" ] || return 0
  while read -r name; do { echo "-$name" >/sys/fs/cgroup/cgroup.subtree_control; } 2>/dev/null || true; done <"$run/node/controllers"
}

node_cgroups() { find /sys/fs/cgroup -maxdepth 2 -type d -name "$node_tag" 2>/dev/null; }

# A cgroup can be removed when the last process has left it, a moment after that was killed.
cgroups_are_gone() {
  local top
  for top in $(node_cgroups); do find "$top" -depth -type d -exec rmdir {} \; 2>/dev/null; done
  [ -z "$(node_cgroups)" ]
}

# --- network -----------------------------------------------------------------------------------------------

# The bridge of the pods is also the node's address: a kubelet takes no loopback one.
make_bridge() {
  [ -z "$(ip -4 route show root "$node_net.0/24")" ] || fail "the network $node_net.0/24 is in use on this machine"
  ip link add "$node_tag" type bridge || fail "this kernel makes no network bridge"
  ip addr add "$node_ip/24" dev "$node_tag"
  ip link set "$node_tag" up
}

# --- containerd --------------------------------------------------------------------------------------------

cni_folder() { if [ -x /usr/lib/cni/bridge ]; then echo /usr/lib/cni; else echo /opt/cni/bin; fi; }

write_cni_config() {
  mkdir -p "$run/node/cni"
  cat >"$run/node/cni/10-bridge.conflist" <<JSON
{"cniVersion": "1.0.0", "name": "$node_tag", "plugins": [
  {"type": "bridge", "bridge": "$node_tag", "isGateway": false, "ipMasq": false,
   "ipam": {"type": "host-local", "ranges": [[{"subnet": "$node_net.0/24", "gateway": "$node_ip"}]], "dataDir": "$run/node/cni-state"}},
  {"type": "loopback"}]}
JSON
}

# Lowering oom_score_adj needs CAP_SYS_RESOURCE, which not every root has; hugetlb and AppArmor are not everywhere either.
write_containerd_config() {
  cat >"$run/node/containerd.toml" <<TOML
version = 3
root = "$run/node/containerd"
state = "/run/containerd"
[grpc]
  address = "/run/containerd/containerd.sock"
[plugins.'io.containerd.cri.v1.images'.pinned_images]
  sandbox = "$sandbox_image"
[plugins.'io.containerd.cri.v1.runtime']
  restrict_oom_score_adj = true
  disable_apparmor = true
  disable_hugetlb_controller = true
  tolerate_missing_hugetlb_controller = true
  [plugins.'io.containerd.cri.v1.runtime'.cni]
    bin_dirs = ["$(cni_folder)"]
    conf_dir = "$run/node/cni"
  [plugins.'io.containerd.cri.v1.runtime'.containerd.runtimes.runc]
    runtime_type = "io.containerd.runc.v2"
    [plugins.'io.containerd.cri.v1.runtime'.containerd.runtimes.runc.options]
      BinaryName = "$(command -v runc)"
      SystemdCgroup = false
TOML
}

# What goes before a command to run it in the namespaces of the node.
name_namespaces() {
  local namespaces
  namespaces=/proc/$(pid_of containerd)/ns
  in_node=(nsenter --mount="$namespaces/mnt" --pid="$namespaces/pid_for_children" --)
}

start_containerd() {
  write_cni_config
  write_containerd_config
  PATH=$bin:$PATH start containerd unshare --mount --pid --fork --kill-child --mount-proc \
    "$here/lib/node_init.sh" "$bin/containerd" --config "$run/node/containerd.toml"
  name_namespaces
  wait_for 10 containerd "${in_node[@]}" test -e /run/of-the-node # from then on nothing can reach a containerd of the machine
  wait_for 30 containerd "${in_node[@]}" "$bin/ctr" version
}

load_images() {
  build_service "$run/node/service"
  make_image "$run/node/pause.tar" "$sandbox_image" "$run/node/service" pause
  make_image "$run/node/service.tar" "$service_image" "$run/node/service"
  local name
  for name in pause service; do
    "${in_node[@]}" "$bin/ctr" --namespace k8s.io images import "$run/node/$name.tar" >/dev/null || fail "containerd does not take the image $name"
    rm "$run/node/$name.tar"
  done
}

# --- kubelet -----------------------------------------------------------------------------------------------

# cpuManagerPolicy static: it makes resizes of Guaranteed pods Infeasible, for the test that wants one; it needs a reserve of CPU.
# KubeletInUserNamespace only tolerates sysctls and limits that may not be set. cgroup v1 must be asked for since 1.35.
# Eviction: so little that a full disk of a developer's machine evicts nothing.
write_kubelet_config() {
  cat >"$run/node/kubelet.yaml" <<YAML
apiVersion: kubelet.config.k8s.io/v1beta1
kind: KubeletConfiguration
address: $node_ip
port: $kubelet_port
healthzBindAddress: 127.0.0.1
healthzPort: $kubelet_health_port
authentication: {anonymous: {enabled: false}, webhook: {enabled: true}, x509: {clientCAFile: $pki/ca.crt}}
authorization: {mode: Webhook}
tlsCertFile: $pki/kubelet.crt
tlsPrivateKeyFile: $pki/kubelet.key
containerRuntimeEndpoint: unix:///run/containerd/containerd.sock
cgroupDriver: cgroupfs
cgroupRoot: /$node_tag
cgroupsPerQOS: true
enforceNodeAllocatable: []
failCgroupV1: false
failSwapOn: false
oomScoreAdj: 0
featureGates: {KubeletInUserNamespace: true}
cpuManagerPolicy: static
systemReserved: {cpu: 100m}
resolvConf: ""
clusterDomain: cluster.local
makeIPTablesUtilChains: false
evictionHard: {memory.available: 100Mi, nodefs.available: 1%, imagefs.available: 1%, nodefs.inodesFree: 1%, imagefs.inodesFree: 1%}
imageGCHighThresholdPercent: 100
podLogsDir: $run/node/pod-logs
YAML
}

# Housekeeping as often as the tests' Prometheus scrapes; cAdvisor still looks at an idle container only every 15 s.
start_kubelet() {
  certificate kubelet ca "/O=system:nodes/CN=system:node:$node_name" "DNS:$node_name,IP:127.0.0.1,IP:$node_ip"
  local_kubeconfig kubelet
  write_kubelet_config
  start kubelet "${in_node[@]}" "$bin/kubelet" --config="$run/node/kubelet.yaml" --kubeconfig="$run/kubelet.kubeconfig" \
    --root-dir="$run/node/kubelet" --cert-dir="$run/node/kubelet/pki" --hostname-override="$node_name" --node-ip="$node_ip" \
    --node-labels=type=real --housekeeping-interval=5s --v=2
  wait_for 60 kubelet node_is_ready
}

node_is_ready() { kube wait --for=condition=Ready --timeout=0 "node/$node_name"; }

# --- all of it ---------------------------------------------------------------------------------------------

start_node() {
  local started=$EPOCHREALTIME
  name_node
  mkdir -p "$run/node"
  make_node_cgroup
  make_bridge
  start_containerd
  load_images
  start_kubelet
  say "the node $node_name is ready after $(since "$started") (cgroup v$(cgroup_version))"
}

# The part of the env file that only a cluster with a node has.
node_env() {
  cat <<ENV
NODE=$node_name
NODE_CGROUP=/$node_tag
CGROUP_VERSION=$(cgroup_version)
KUBELET_ADDRESS=$node_ip:$kubelet_port
KUBELET_CLIENT=$pki/kubelet-client
SERVICE_IMAGE=$service_image
ENV
}

# Containers do not outlive it, as they are in its PID namespace; what is left is no process's: cgroups and the bridge.
stop_node() {
  [ -d "$run/node" ] || return 0
  port_base=${port_base:-$(cat "$run/port-base")}
  name_node
  stop 5 kubelet containerd
  remove_node_cgroup
  ! ip link show "$node_tag" >/dev/null 2>&1 || ip link del "$node_tag"
}
