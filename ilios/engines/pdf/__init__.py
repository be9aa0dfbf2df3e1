"""PDF documents: opened, repaired, cut, and read page by page."""
