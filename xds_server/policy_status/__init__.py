"""What stands in the status of a policy in Kubernetes, and how it gets there.

A survey of the mesh and of its clients is described in conditions; a writer applies
what differs. What a policy means is decided in the mesh.
"""
