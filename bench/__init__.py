"""Measurements: `python -m bench.NAME [--json] [--quick]`. See README.md."""
