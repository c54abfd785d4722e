"""The books of an issuer: revenue as it is earned, trial balance, exports."""
