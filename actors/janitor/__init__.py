"""The janitor: retention, stuck documents, orphaned blobs, erasure."""
