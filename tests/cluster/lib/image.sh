# shellcheck shell=bash
# Container images without a registry: the test service as one static binary, and an OCI archive around it.
# Expects: here, run.

# Only std, so rustc is enough. Static also with glibc: nothing of what needs its shared parts (names, locales) is used.
build_service() { # OUT
  local errors
  errors=$(cd "$here/../.." && rustc --edition 2024 -C opt-level=2 -C panic=abort -C strip=symbols -C target-feature=+crt-static \
    -o "$1" tests/cluster/node/service/main.rs 2>&1) || fail "the service of the real node does not build: $errors"
}

digest_of() { sha256sum "$1" | cut -d' ' -f1; }

# Moves a file to where the archive has it, and prints its descriptor.
blob() { # LAYOUT MEDIA_TYPE FILE
  local digest size
  digest=$(digest_of "$3")
  size=$(stat -c %s "$3")
  mv "$3" "$1/blobs/sha256/$digest"
  printf '"mediaType": "%s", "digest": "sha256:%s", "size": %d' "$2" "$digest" "$size"
}

oci_architecture() {
  case $(uname -m) in
    x86_64) echo amd64 ;;
    aarch64) echo arm64 ;;
    *) uname -m ;;
  esac
}

# An archive of a one-layer image for `ctr images import`: the binary as /service, run by nobody in particular.
make_image() { # OUT NAME BINARY ARGUMENT...
  local out=$1 name=$2 binary=$3 layout type=application/vnd.oci.image layer diff config manifest arguments
  shift 3
  arguments=$(printf ', "%s"' "$@")
  [ $# -gt 0 ] || arguments=''
  layout=$(mktemp -d "$run/image.XXXXXX")
  mkdir -p "$layout/blobs/sha256" "$layout/root"
  install -m 755 "$binary" "$layout/root/service"
  tar -C "$layout/root" --owner=0 --group=0 --numeric-owner --mtime=@0 -cf "$layout/layer" service
  rm -r "$layout/root"
  diff=$(digest_of "$layout/layer")
  layer=$(blob "$layout" "$type.layer.v1.tar" "$layout/layer")
  cat >"$layout/config" <<JSON
{"architecture": "$(oci_architecture)", "os": "linux", "config": {"Entrypoint": ["/service"$arguments], "User": "65535:65535"},
 "rootfs": {"type": "layers", "diff_ids": ["sha256:$diff"]}}
JSON
  config=$(blob "$layout" "$type.config.v1+json" "$layout/config")
  echo "{\"schemaVersion\": 2, \"mediaType\": \"$type.manifest.v1+json\", \"config\": {$config}, \"layers\": [{$layer}]}" >"$layout/manifest"
  manifest=$(blob "$layout" "$type.manifest.v1+json" "$layout/manifest")
  echo '{"imageLayoutVersion": "1.0.0"}' >"$layout/oci-layout"
  cat >"$layout/index.json" <<JSON
{"schemaVersion": 2, "mediaType": "$type.index.v1+json", "manifests": [{$manifest,
 "annotations": {"io.containerd.image.name": "$name"}, "platform": {"architecture": "$(oci_architecture)", "os": "linux"}}]}
JSON
  tar -C "$layout" -cf "$out" oci-layout index.json blobs
  rm -r "$layout"
}
