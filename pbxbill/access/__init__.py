"""Who may do what, and who did it: users, roles, log-ins, API keys, the audit log.

permissions.py says what each role may do, actor.py for which accounts. Panel and API ask here and nowhere
else; nothing here knows HTTP.
"""
