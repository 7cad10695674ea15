"""What may a user or Kubernetes say: bytes in, validated documents with places out.

Every error carries its place. Nothing here knows Envoy, files or the network.
"""
