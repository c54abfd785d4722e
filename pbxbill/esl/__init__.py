"""FreeSWITCH: the only package that imports greenswitch and gevent. See docs/freeswitch.md."""
