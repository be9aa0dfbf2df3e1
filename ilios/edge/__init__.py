"""The HTTP edge: handlers parse, say and answer; they decide nothing."""
