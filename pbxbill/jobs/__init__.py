"""Everything that happens by itself: schedule.py lists the jobs, runner.py runs each of them once, wherever.

A job is idempotent, works in short transactions, looks at stop() between them and goes on where it stopped.
"""
