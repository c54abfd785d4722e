"""Payment gateways behind one protocol: gateway.py says what each offers, one module speaks to each service,
registry.py opens them.

They know the network and their service's words, not the database: billing.gateway_payments decides what money
moves, once. Card data never comes here; payers give it to the service itself.
"""
