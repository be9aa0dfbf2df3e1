"""DOCX: its XML (WordprocessingML) as Markdown."""
