"""Confinement of the child processes: Landlock, seccomp, resource limits."""
