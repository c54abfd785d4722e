"""What happens about invoices that are not paid in time: levels, fees, promises to pay, ageing."""
