"""Messages to people: the outbox, filled within the transaction of a message's cause, and how it is sent.

outbox.py owns the rows and their states, smtp.py one connection to a mail server, sending.py the work between
them, bounces.py what mail servers send back.
"""
