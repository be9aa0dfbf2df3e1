"""Data types of ilios: events on the log, records in the database, replies to clients.

Import them from their modules (``from schemas.documents import DocumentSubmitted``).
Nothing here imports another floor, and msgspec is the only library used.
"""
