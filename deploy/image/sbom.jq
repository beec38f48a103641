# `cargo metadata` in, a CycloneDX document out. See sbom for the arguments.

def key: "\(.name)@\(.version)";
def purl: "pkg:cargo/\(.name)@\(.version)";

# An SPDX expression; Cargo once took a slash for OR.
def licences:
  if .license then [{expression: (.license | gsub(" */ *"; " OR "))}]
  elif .license_file then [{license: {name: "see \(.license_file) in the package"}}]
  else error("\(key) has no licence") end;

def component($scope):
  {
    type: "library", "bom-ref": purl, purl: purl, name, version, scope: $scope, licenses: licences,
    hashes: [{alg: "SHA-256", content: ($checksums[key] // error("\(key) has no checksum in Cargo.lock"))}]
  }
  + (if .description then {description: (.description | gsub("\\s+"; " ") | ltrimstr(" ") | rtrimstr(" "))} else {} end)
  + (if .repository then {externalReferences: [{type: "vcs", url: .repository}]} else {} end);

# The standard library is linked too, and comes with the compiler.
def standard_library:
  {
    type: "library", "bom-ref": "pkg:generic/rust-std@\($rustc)", purl: "pkg:generic/rust-std@\($rustc)", name: "rust-std",
    version: $rustc, scope: "required", licenses: [{expression: "MIT OR Apache-2.0"}],
    description: "The Rust standard library for \($target), with the C library that it brings where it is linked statically"
  };

(INDEX($linked[]; .)) as $is_linked
| (INDEX($used[]; .)) as $is_used
| (.resolve.root) as $root
| (INDEX(.packages[]; .id)) as $packages
| ($packages[$root]) as $arbiter
| [.packages[] | select(.id != $root and $is_used[key])] as $others
| (if ($others | length) + 1 == ($used | length) then . else error("cargo tree names packages that cargo metadata does not") end)
| {
    bomFormat: "CycloneDX", specVersion: "1.6", version: 1,
    metadata: {
      component: {
        type: "application", "bom-ref": ($arbiter | purl), purl: ($arbiter | purl), name: $arbiter.name, version: $arbiter.version,
        description: $arbiter.description, licenses: ($arbiter | licences)
      },
      properties: [{name: "target", value: $target}]
    },
    components: (
      [$others[] | component(if $is_linked[key] then "required" else "excluded" end)] + [standard_library] | sort_by(.["bom-ref"])
    ),
    dependencies: (
      [
        .resolve.nodes[] | select(.id == $root or $is_used[$packages[.id] | key])
        | {
            ref: ($packages[.id] | purl),
            dependsOn: (
              [
                .deps[] | select(any(.dep_kinds[]; .kind != "dev")) | $packages[.pkg]
                | select($is_used[key]) | purl
              ] | unique
            )
          }
      ] | sort_by(.ref)
    )
  }
