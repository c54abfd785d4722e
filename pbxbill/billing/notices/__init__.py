"""What accounts and operators are told: kinds, words, choices, digests, alerts, where webhooks go."""
