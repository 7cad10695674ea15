"""What Envoy is told: mesh values in, encoded resources out.

Pure functions: no clock, I/O, randomness, settings or logging.
"""
