"""HTTP: webhooks of payment gateways, the pages that payers come back to. Alone imports Flask.

factory.py makes the application from what it is given, serving.py serves it within limits. There is no
session and no cookie; whoever holds a payment's key may see how it stands, and nothing else of the account.
"""
