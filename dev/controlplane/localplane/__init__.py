"""A local control plane (etcd, kube-apiserver, kube-controller-manager): built once, started and stopped.

Needs the standard library only, since it runs before any virtual environment exists.
"""
