"""What the documents mean together: services, endpoints, and the policy of each.

Events in, frozen values and the names of what changed out. No protobuf, gRPC or files.
"""
