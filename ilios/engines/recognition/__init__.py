"""Recognition of scanned pages: OCR, page layout, text columns."""
