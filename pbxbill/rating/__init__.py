"""Rating: what a call costs and how long funds last. Pure functions over frozen facts; no I/O, no clock."""
