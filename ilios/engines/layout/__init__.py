"""Layout of text pages: from positioned text to blocks in reading order and their Markdown."""
