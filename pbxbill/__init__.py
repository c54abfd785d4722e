"""pbxbill: real-time billing beside FreeSWITCH and Asterisk."""

__version__ = "0.2.0"
