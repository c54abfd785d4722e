"""The conversation at an access number, as a pure state machine."""
