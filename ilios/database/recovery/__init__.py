"""Damage and recovery of the database: snapshots, rebuilds, audits."""
