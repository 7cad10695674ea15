"""The control loop: what load reports say of servers, and the weights that follow.

Load reports in, events of new weights out. Knows the mesh; not Envoy, nor protobuf.
"""
