"""Mistral's OCR as an engine. All modules but ``limits`` import the SDK, which takes a second."""
