"""The only door to the Kubernetes API: status patches, Secrets, Events, the Lease."""
