"""The service: edge, database, blobs, engines, settings, supervision, command line."""

__version__ = "0.2.0"
