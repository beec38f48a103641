# shellcheck shell=bash
# Words to the person at the terminal, and the few helpers that every other file here uses.
# Sourced, never run. Expects: here (the folder tests/cluster).

say() { printf 'cluster: %s\n' "$*" >&2; }
fail() { printf 'cluster: %s\n' "$*" >&2; exit 1; }

has() { command -v "$1" >/dev/null 2>&1; }

# Fails naming every program of the list that the PATH does not have, not only the first.
need_programs() {
  local name missing=()
  for name in "$@"; do has "$name" || missing+=("$name"); done
  [ ${#missing[@]} -eq 0 ] || fail "needs these programs on the PATH: ${missing[*]}"
}

# Paths go unquoted into KEY=VALUE lines and flags, so they must be free of blanks and quotes.
need_plain_path() { # WHAT PATH
  [[ $2 =~ ^/[A-Za-z0-9._/+@-]+$ ]] || fail "$1 must be an absolute path of letters, digits and ._/+@- only, but is '$2'"
}

# at_least 3.15.0 3.0.0: is the first version the second one or newer?
at_least() { [ "$(printf '%s\n%s\n' "$2" "$1" | sort -V | head -n1)" = "$2" ]; }

# Seconds with a decimal since the given point of EPOCHREALTIME.
since() {
  local now=${EPOCHREALTIME/[.,]/} then=${1/[.,]/} tenths
  tenths=$(((now - then) / 100000))
  printf '%d.%d s' $((tenths / 10)) $((tenths % 10))
}

cache_dir() { printf '%s' "${ARBITER_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/arbiter}"; }
