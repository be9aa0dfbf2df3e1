"""The HTTP edge in a process of its own beside the core: two cores work, and a crash is apart."""
