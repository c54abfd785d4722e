"""What a document looks like: HTML and PDF from templates that read nothing else, and the XML of EN 16931.

Everything here reads invoices.document.Document alone. An issuer's own template is filled in by sandbox.py
and set in a process of its own (worker.py), since its author need not be trusted.
"""
