"""HTTP: webhooks of payment gateways, the pages that payers come back to. Alone imports Flask."""
