"""Fault injection over many hosts: a cluster of NATS nodes, a core, worker hosts and a store."""
