"""Asterisk: AMI manager, FastAGI, daemon. The only package that imports panoramisk and asyncio."""
