"""pbxbill: real-time billing beside FreeSWITCH and Asterisk."""

__version__ = "0.4.0"
