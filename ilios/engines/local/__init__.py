"""The local engine: conversions in child processes with limits."""
