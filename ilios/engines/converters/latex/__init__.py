"""The converter of LaTeX sources."""
