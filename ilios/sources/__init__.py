"""Downloads of documents from URLs, limited to public addresses."""
