"""What the outside sees of a running operator: metrics, JSON logs without secrets, probes."""
