"""The demonstration: a small operator, a private switch, the real daemon, and SIPp callers. `make demo`."""
