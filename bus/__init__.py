"""Subjects, streams, consumers and publishing. The only floor that imports nats."""
