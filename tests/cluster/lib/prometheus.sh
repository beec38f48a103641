# shellcheck shell=bash
# Prometheus. Tests add targets as files in $run/prometheus/targets and rules in $run/prometheus/rules.
# Expects: run, bin, prometheus_port.

write_prometheus_config() {
  mkdir -p "$run"/prometheus/{targets,rules,data}
  cat >"$run/prometheus/prometheus.yml" <<YAML
global: {scrape_interval: 5s, scrape_timeout: 4s, evaluation_interval: 5s}
rule_files: [$run/prometheus/rules/*.yml]
scrape_configs:
# honor_labels: an emulator exports the series of many pods, with their own namespace, pod and container labels.
- job_name: tests
  honor_labels: true
  fallback_scrape_protocol: PrometheusText0.0.4 # for exporters that name no content type
  file_sd_configs: [{files: [$run/prometheus/targets/*.json], refresh_interval: 5s}]
- job_name: prometheus
  static_configs: [{targets: ["127.0.0.1:$prometheus_port"]}]
YAML
}

launch_prometheus() {
  start prometheus "$bin/prometheus" --config.file="$run/prometheus/prometheus.yml" \
    --storage.tsdb.path="$run/prometheus/data" --storage.tsdb.retention.time=2d \
    --web.listen-address="127.0.0.1:$prometheus_port" --web.enable-lifecycle --web.enable-remote-write-receiver
}

prometheus_is_ready() { curl -fs --max-time 2 "http://127.0.0.1:$prometheus_port/-/ready"; }

start_prometheus() {
  launch_prometheus
  wait_for 60 prometheus prometheus_is_ready
}
