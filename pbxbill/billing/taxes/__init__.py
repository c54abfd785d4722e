"""Taxes: which apply to whom and when, and what they come to."""
