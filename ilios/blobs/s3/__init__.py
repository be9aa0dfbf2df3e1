"""Blobs in a bucket of S3 or of a compatible store.

Only ``ilios.blobs.factory`` imports this, and only if a bucket is configured: the SDK is large.
"""
