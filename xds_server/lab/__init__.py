"""What a real Envoy does with a policy, measured on this machine.

Starts the server, an Envoy and backends, sends requests, and judges the distribution.
"""
