"""Self-service by telephone: calling cards, balance, refill by voucher.

dialogue.py is the conversation as a pure state machine, which both switches carry out; desk.py looks up
cards, guards against guessing and redeems. Knows no switch.
"""
