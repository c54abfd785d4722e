"""What accounts are billed for, and how it is paid: a folder for each subject; here is what all share.

Every use case is one function that works within one transaction of its caller's.
"""
