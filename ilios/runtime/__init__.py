"""The process and its machine: supervision, restarts, locks, memory, file descriptors."""
