# shellcheck shell=bash
# The parts of build. Sourced, never run. Expects: root, target, binary, ca, epoch.

say() { printf 'image: %s\n' "$*" >&2; }
fail() { printf 'image: %s\n' "$*" >&2; exit 1; }

need() {
  local name missing=()
  for name in "$@"; do command -v "$name" >/dev/null || missing+=("$name"); done
  [ ${#missing[@]} -eq 0 ] || fail "needs these programs on the PATH: ${missing[*]}"
}

# --- the binary ------------------------------------------------------------------------------------------------

# musl, not glibc: a static glibc loads its name services from shared libraries that the image does not have, so that names
# would resolve in some images only; musl reads /etc/resolv.conf and /etc/hosts itself.
build_binary() {
  if ! rustc --print sysroot --target "$target" >/dev/null 2>&1 || [ ! -d "$(rustc --print sysroot)/lib/rustlib/$target" ]; then
    need rustup
    rustup target add "$target" >&2
  fi
  # aws-lc is C and is compiled for musl as well.
  command -v musl-gcc >/dev/null || install_musl_gcc
  local cargo_home=${CARGO_HOME:-$HOME/.cargo}
  # No path of the machine goes into the binary: another machine builds the same one.
  local away=("$root=/src" "$cargo_home/registry/src=/registry" "$(rustc --print sysroot)=/rust")
  CC_x86_64_unknown_linux_musl=musl-gcc \
    CFLAGS_x86_64_unknown_linux_musl="${away[*]/#/-ffile-prefix-map=}" \
    CARGO_TARGET_X86_64_UNKNOWN_LINUX_MUSL_RUSTFLAGS="${away[*]/#/--remap-path-prefix=}" \
    ${CARGO:-cargo} build --release --locked --target "$target" --bin arbiter --message-format=json-render-diagnostics >"$scratch/built"
  binary=${CARGO_TARGET_DIR:-$root/target}/$target/release/arbiter
}

# Cargo says of each library whether it was compiled for the target, and so linked, or for the machine that builds. The bill must
# name exactly these; only a build of ours can tell.
must_name_what_is_linked() { # SBOM
  [ -s "$scratch/built" ] || { say "the bill is not compared with a binary that was built elsewhere"; return 0; }
  diff <(jq -r --arg folder "/$target/release/" 'select(.reason == "compiler-artifact" and any(.filenames[]; contains($folder)))
           | .package_id | select(startswith("registry+")) | sub(".*#"; "")' "$scratch/built" | sort -u) \
    <(jq -r '.components[] | select(.scope == "required" and .name != "rust-std") | "\(.name)@\(.version)"' "$1" | sort -u) >&2 ||
    fail "the bill of materials (>) differs from what is linked (<)"
}

install_musl_gcc() {
  [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null || fail "needs musl-gcc: install musl-tools"
  apt-get update -qq
  DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends musl-tools >/dev/null
}

must_be_static() { # BINARY
  local needed
  needed=$(readelf --program-headers --dynamic --wide "$1" | grep -E 'INTERP|NEEDED' || true)
  [ -z "$needed" ] || fail "$1 is not linked statically, and the image has nothing to load: $needed"
}

# --- the files -------------------------------------------------------------------------------------------------

fill_root() { # FOLDER SBOM
  local folder
  for folder in "$1" "$1/etc" "$1/etc/ssl" "$1/etc/ssl/certs"; do install -d -m 0755 "$folder"; done
  install -m 0755 "$binary" "$1/arbiter"
  install -m 0644 "$2" "$1/sbom.cdx.json"
  install -m 0644 "$ca" "$1/etc/ssl/certs/ca-certificates.crt"
  echo 'arbiter:x:65532:65532::/:/nonexistent' >"$1/etc/passwd"
  echo 'arbiter:x:65532:' >"$1/etc/group"
  chmod 0644 "$1/etc/passwd" "$1/etc/group"
}

# --- the layout ------------------------------------------------------------------------------------------------

# Moves a file under its own digest; sets digest and size.
put_blob() { # LAYOUT FILE
  chmod 0644 "$2"
  digest=sha256:$(sha256sum "$2" | cut -d' ' -f1) size=$(stat -c %s "$2")
  mv "$2" "$1/blobs/sha256/${digest#sha256:}"
}

write_layout() { # ROOT LAYOUT
  local layer layer_size
  mkdir -p "$2/blobs/sha256"
  # Owners, times and order are the image's own, whatever those of the machine are.
  (cd "$1" && tar --create --format=ustar --sort=name --owner=0 --group=0 --numeric-owner --mtime="@$epoch" ./*) >"$2/layer.tar"
  diff_id=sha256:$(sha256sum "$2/layer.tar" | cut -d' ' -f1)
  gzip --no-name -9 "$2/layer.tar"
  put_blob "$2" "$2/layer.tar.gz"
  layer=$digest layer_size=$size
  config >"$2/config.json"
  put_blob "$2" "$2/config.json"
  jq --null-input --compact-output --sort-keys --arg config "$digest" --argjson config_size "$size" --arg layer "$layer" \
    --argjson layer_size "$layer_size" '{
      schemaVersion: 2, mediaType: "application/vnd.oci.image.manifest.v1+json",
      config: {mediaType: "application/vnd.oci.image.config.v1+json", digest: $config, size: $config_size},
      layers: [{mediaType: "application/vnd.oci.image.layer.v1.tar+gzip", digest: $layer, size: $layer_size}]
    }' >"$2/manifest.json"
  put_blob "$2" "$2/manifest.json"
  jq --null-input --compact-output --sort-keys --arg digest "$digest" --argjson size "$size" --arg version "$(version)" '{
      schemaVersion: 2, mediaType: "application/vnd.oci.image.index.v1+json",
      manifests: [{
        mediaType: "application/vnd.oci.image.manifest.v1+json", digest: $digest, size: $size,
        platform: {architecture: "amd64", os: "linux"}, annotations: {"org.opencontainers.image.ref.name": $version}
      }]
    }' >"$2/index.json"
  echo '{"imageLayoutVersion":"1.0.0"}' >"$2/oci-layout"
}

version() { sed -n 's/^version = "\(.*\)"/\1/p' Cargo.toml | head -n1; }

config() {
  jq --null-input --compact-output --sort-keys --arg diff "$diff_id" --arg version "$(version)" \
    --arg created "$(date --utc --date="@$epoch" +%Y-%m-%dT%H:%M:%SZ)" --arg revision "$(git rev-parse HEAD)" '{
      architecture: "amd64", os: "linux", created: $created,
      config: {
        User: "65532:65532", Entrypoint: ["/arbiter"], Cmd: ["--help"], WorkingDir: "/",
        Env: ["PATH=/", "SSL_CERT_FILE=/etc/ssl/certs/ca-certificates.crt"],
        ExposedPorts: {"9464/tcp": {}},
        Labels: {
          "org.opencontainers.image.title": "arbiter", "org.opencontainers.image.version": $version,
          "org.opencontainers.image.revision": $revision, "org.opencontainers.image.licenses": "Apache-2.0"
        }
      },
      rootfs: {type: "layers", diff_ids: [$diff]},
      history: [{created: $created, created_by: "deploy/image/build"}]
    }'
}
