"""How words travel: subjects, streams, consumers, publishing. The only floor with nats."""
