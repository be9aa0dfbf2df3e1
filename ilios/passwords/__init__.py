"""Passwords of protected documents: sealed in the blob store while their documents need them."""
