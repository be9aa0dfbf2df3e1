"""Blobs in a bucket of S3, or of what speaks like it.

Nothing outside imports this but ``ilios.blobs.factory``, and that late: the SDK is loaded only
where there is a bucket.
"""
