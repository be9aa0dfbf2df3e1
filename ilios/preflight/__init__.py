"""Tries what the service needs of this machine and others, without leaving anything behind."""
