"""Messages to people and programs: the outbox, filled in the transaction of their cause, and how it is sent.

outbox.py owns the rows and their states, smtp.py one connection to a mail server, sending.py the work between
them, bounces.py what mail servers send back; webhook.py one delivery to a program, posting.py the work
between it and the outbox.
"""
