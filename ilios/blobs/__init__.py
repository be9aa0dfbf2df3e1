"""Blob stores for originals and results: a local directory, or an S3 bucket.

Each implements ``actors.ports.Blobs`` and depends on neither documents nor tenants.
"""
