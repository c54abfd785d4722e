"""What accounts are billed for and how: plans, subscriptions, charges, taxes, invoices, notes, runs, books.

Every use case is one function that works within one transaction of its caller's.
"""
