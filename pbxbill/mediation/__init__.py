"""Mediation: records from files, matched to accounts, rated at their time, posted once."""
