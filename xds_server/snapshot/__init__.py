"""What every sidecar should hold right now: versioned, encoded resources.

A change log a resource type; what a resource means is known elsewhere.
"""
