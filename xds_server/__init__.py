"""An Envoy control plane: declarative traffic policies in, xDS out.

See ARCHITECTURE.md for the rooms and the one direction in which data flows.
"""
