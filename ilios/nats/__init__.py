"""The embedded nats-server: start, users, watchdog, and access to an outside one."""
