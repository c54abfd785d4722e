"""Invoices, notes, quotes and receipts: gathered, drafted, issued, sent, looked up; billing runs."""
