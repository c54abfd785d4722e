"""Money in and back: payments, top-ups, gateways and what they tell, saved cards, transfers."""
