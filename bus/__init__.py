"""How words travel: subjects, streams, consumers, publishing, deliveries. The only floor with nats."""
