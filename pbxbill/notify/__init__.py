"""Messages to people: the outbox and how it is sent."""
