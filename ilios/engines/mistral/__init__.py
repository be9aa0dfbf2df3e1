"""Mistral's OCR as an engine. Importing any of it but ``limits`` loads the SDK, a second's work."""
