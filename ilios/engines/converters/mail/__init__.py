"""Mail to Markdown: a page of headers and text, and the pages of each attachment after it."""
