"""Checks of what the service needs before it starts; they leave nothing behind."""
