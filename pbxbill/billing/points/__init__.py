"""Points: earned by rules and referrals, spent, expired."""
