"""HTTP: webhooks of payment gateways and the pages that payers come back to. The only place that imports Flask."""
