"""The words of ilios: events on the log, records in the database, replies to clients.

Import from the room a word lives in (``from schemas.documents import DocumentSubmitted``).
Nothing here knows any other floor, and msgspec is the only library used.
"""
