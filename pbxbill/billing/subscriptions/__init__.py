"""What accounts have agreed to: plans, subscriptions and their charges, telephone numbers."""
