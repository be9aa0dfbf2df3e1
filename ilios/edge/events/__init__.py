"""Events of documents and batches for HTTP clients, as server-sent events."""
