"""The converter of RTF."""
