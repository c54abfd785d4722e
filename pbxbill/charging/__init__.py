"""Charging: authorize, answer, extend, settle, void, expire; the engine that makes them durable; reconciliation."""
