"""Measurements of the whole service. Never part of the tests: machines are shared and noisy."""
