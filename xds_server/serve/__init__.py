"""How the snapshot reaches sidecars: the xDS protocol over gRPC, and the admin HTTP.

Requests and changes in, responses and acknowledgements out; knows no mesh.
"""
