"""Converters: one module per document format, from bytes to Markdown pages."""
