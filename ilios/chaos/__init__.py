"""Fault injection: the real service is killed again and again, and its promises are verified."""
