"""Advice: which load balancer does best by servers like those of a Service.

`profile` says what the servers can do, `candidate` which policies there are for that,
`measurement` lets them compete, `decision` picks one by what was measured, `advice` is
all of it for a Service in files, and `table` shows it.
"""
