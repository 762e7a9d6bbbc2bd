"""The Grafana dashboard and the Prometheus rules, made from the metrics in `worker.telemetry`."""
