"""Checks while the service runs: lost events, vanished files, a wrong blob store."""
