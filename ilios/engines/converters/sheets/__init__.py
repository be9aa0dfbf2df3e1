"""Spreadsheets to Markdown: each sheet is a page of tables with the values as they are shown."""
