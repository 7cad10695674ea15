"""The answer to a unary request: what a stream's first response would be.

In: a view and a request. Out: an encoded DiscoveryResponse. Nothing is remembered.
"""

from envoy.service.discovery.v3.discovery_pb2 import DiscoveryRequest

from xds_server.serve.response import encode_sotw
from xds_server.serve.session import imply_type
from xds_server.serve.subscription import Subscription
from xds_server.snapshot.view import View


def fetch(view: View, type_url: str, request: DiscoveryRequest) -> bytes:
    """Return all that *request* asks for of *type_url*.

    Raises:
        RequestError: it is about another type.
    """
    imply_type(request, type_url)
    table = view.table(type_url)
    subscription = Subscription.first(type_url, frozenset(request.resource_names))
    resources = tuple(subscription.select(table))
    return encode_sotw(type_url, table.version, "", resources).body
