"""Where the bytes lie: originals and Markdown, under keys of our own making.

Every store here fits ``actors.ports.Blobs``. Nothing in this room knows documents or tenants.
"""
