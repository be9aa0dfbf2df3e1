"""The embedded nats-server with its users and watchdog, and connections to it or to another one."""
