//! A synthetic but honest workload behind a Prometheus-compatible API, to see everything work at once.
