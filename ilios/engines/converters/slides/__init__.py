"""Presentations (PPTX): slides with their shapes, as pages of Markdown."""
