"""Converters of the formats of the web and of markup: HTML, EPUB, notebooks."""
