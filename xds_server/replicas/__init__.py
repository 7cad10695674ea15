"""One control plane of several replicas: who leads, who is there, what each says.

In: Leases of an API server. Out: one replica at a time that may lead, and what every
living replica says of itself. What they say is up to others.
"""
