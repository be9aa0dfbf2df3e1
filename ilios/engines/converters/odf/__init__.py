"""OpenDocument texts and presentations to Markdown (ISO/IEC 26300)."""
