"""Measurement of what comes out: the Markdown of documents against what is expected of it."""
