"""Private servers for the demo, the tests and the benches: Asterisk, FreeSWITCH, SIPp, PostgreSQL, Redis.

Everything listens on 127.0.0.1, lives in a directory of its own and dies with the process that started it.
Each server is a context manager, prints nothing, and raises ServerFailed with the end of its log.
"""
