# shellcheck shell=bash
# Starting, watching and ending the processes of one cluster: one pid file, one log and one process group each.
# Only processes whose pid file we wrote are ever signalled, and only while the pid still means the same process.
# Expects: run (the cluster's folder).

# When the process began, in clock ticks since boot: tells a process from a later one with the same pid.
birth_of() { # PID
  local line
  { read -r line </proc/"$1"/stat; } 2>/dev/null || return 1
  # shellcheck disable=SC2086
  set -- ${line##*) }
  [ "$1" != Z ] || return 1
  echo "${20}"
}

start() { # NAME PROGRAM [ARGUMENT...]
  local name=$1 pid
  shift
  setsid "$@" >>"$run/logs/$name.log" 2>&1 </dev/null &
  pid=$!
  disown "$pid" # or bash reports its end
  echo "$pid" >"$run/pids/$name.pid"
  birth_of "$pid" >"$run/pids/$name.birth" || true
}

pid_of() { cat "$run/pids/$1.pid" 2>/dev/null || true; }

alive() { # NAME
  local pid
  pid=$(pid_of "$1")
  [ -n "$pid" ] && [ "$(birth_of "$pid")" = "$(cat "$run/pids/$1.birth" 2>/dev/null)" ]
}

# Waits until the command succeeds; fails with the end of the log when the process ends or the time is over.
wait_for() { # SECONDS NAME COMMAND...
  local seconds=$1 name=$2 end
  shift 2
  end=$((SECONDS + seconds))
  until "$@" >/dev/null 2>&1; do
    alive "$name" || show_log_and_fail "$name" "$name ended while the cluster waited for it"
    [ $SECONDS -lt $end ] || show_log_and_fail "$name" "$name was not ready after $seconds s"
    sleep 0.1
  done
}

until_true() { # SECONDS COMMAND...
  local end=$((SECONDS + $1))
  shift
  until "$@" >/dev/null 2>&1; do
    [ $SECONDS -lt $end ] || return 1
    sleep 0.2
  done
}

show_log_and_fail() { # NAME SENTENCE
  say "the last lines of $1's log:"
  tail -n 20 "$run/logs/$1.log" >&2 || true
  fail "$2"
}

# Ends the named processes together: TERM to their groups, and KILL to those that are left after some seconds.
stop() { # SECONDS NAME...
  local seconds=$1 name left=()
  shift
  for name in "$@"; do
    alive "$name" && left+=("$name") && kill -TERM -- "-$(pid_of "$name")" 2>/dev/null
  done
  wait_until_gone "$seconds" "${left[@]}" || for name in "${left[@]}"; do
    alive "$name" && kill -KILL -- "-$(pid_of "$name")" 2>/dev/null
  done
  wait_until_gone 5 "${left[@]}" || say "still running after KILL: ${left[*]}"
  for name in "$@"; do rm -f "$run/pids/$name.pid" "$run/pids/$name.birth"; done
}

wait_until_gone() { # SECONDS NAME...
  local name tries=$(($1 * 20))
  shift
  for name in "$@"; do
    while alive "$name"; do
      [ $((tries--)) -gt 0 ] || return 1
      sleep 0.05
    done
  done
}
