"""The walls and the roof: edge, database, blobs, engines, settings, supervision, command line."""

__version__ = "0.1.0"
