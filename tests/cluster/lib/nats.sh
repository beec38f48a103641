# shellcheck shell=bash
# nats-server with JetStream. Expects: run, bin, nats_port, nats_monitor_port.

launch_nats() {
  start nats "$bin/nats-server" --jetstream --store_dir "$run/nats" --addr 127.0.0.1 \
    --port "$nats_port" --http_port "$nats_monitor_port"
}

nats_is_ready() { curl -fs --max-time 2 "http://127.0.0.1:$nats_monitor_port/healthz"; }

start_nats() {
  launch_nats
  wait_for 30 nats nats_is_ready
}
