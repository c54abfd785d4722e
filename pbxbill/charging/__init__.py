"""Charging: the verbs of a call session, the engine that makes them durable, and reconciliation."""
