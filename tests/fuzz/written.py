"""What a user may write: random policies, made from the models that read them.

The models of `xds_server.api.policy` in, Hypothesis strategies of plain YAML values
out. Bounds, choices and required fields are the models' own, so a new section is
written here without a line of its own; only for a new kind of text somebody has to say
what may stand there. Rules between fields are left to the models: what they refuse is
cut out, and the rest tried again.
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from copy import deepcopy
from datetime import timedelta
from typing import Final, get_args

from annotated_types import Ge, Gt, Le, MinLen
from hypothesis import strategies as st
from pydantic import WithJsonSchema
from pydantic.fields import FieldInfo

from tests.fuzz import certificates
from xds_server.api import field
from xds_server.api.algorithm import Maglev, RingHash
from xds_server.api.duration import format_duration
from xds_server.api.field import Choice
from xds_server.api.hash_key import HashKey, Regex
from xds_server.api.health_check import Statuses, TcpCheck
from xds_server.api.load_balancer import LoadBalancer
from xds_server.api.locality import LoadAware, PlaceName, Proximity
from xds_server.api.model import Model
from xds_server.api.performance import POD_CPU, PerformanceBased
from xds_server.api.policy import (
    API_VERSION,
    CertificateAuthority,
    ClientCertificate,
    ClientSelector,
    EnvoyPatch,
    PolicySpec,
    Tls,
    TrafficPolicy,
    validate_policy,
)
from xds_server.api.problem import FieldPath
from xds_server.api.weights import ResourceRequest, WeightRule

Value = object
Json = dict[str, object]
Values = st.SearchStrategy[Value]
Holder = dict[str | int, Value] | list[Value]
Bound = int | float | timedelta

KEYS: Final = ("app", "version", "traffic.xds-server.dev/weight")
LABELS: Final = {"app": ("web", "api"), "version": ("v1", "v2", "")}
"""What Pods and clients of the fuzzed meshes may have, too: some policies match."""

_MOST_ITEMS: Final = 3
_MOST_REPAIRS: Final = 100

_HOSTS: Final = ("web.shop", "web.shop:8080", "[::1]:80", "127.0.0.1")
_TEXTS: Final[Mapping[object, Sequence[str]]] = {
    field.HeaderName: ("x-user", "X-User", ":path", ":authority", "!#$%&'*+-.^_`|~"),
    field.RequestHeader: ("x-endpoint", "X-Session", "!#$%&'*+-.^_`|~", "h" * 256),
    field.CookieName: ("sid", "__Host-sid", "!#$%&'*+-.^_`|~", "s" * 256),
    field.QueryName: ("user", "user[id]", "%", "é" * 128, ";"),
    field.CookiePath: ("/", "/shop/cart", "/é ,", "/%3B"),
    field.RequestPath: ("/", "/healthz?full=1", "/" + "a" * 1023),
    field.Authority: _HOSTS,
    field.GrpcService: ("", "shop.v1.Cart", "~" * 256),
    field.Address: ("127.0.0.1", "127.0.0.2", "::1", "localhost"),
    field.DnsLabel: ("web", "api", "http"),
    field.LabelKey: KEYS,
    Statuses: ("200", "200-299", "100", "599", "500-599"),
    field.ServerName: ("web.shop.svc", "1a", ".".join(["a" * 63] * 4)[:-2]),
    field.AlternativeName: ("a.example", "spiffe://mesh/web", "a://" + "~" * 508),
    PlaceName: ("a", "b", "north", "A_b-c.1", "z" * 63),
    Proximity: ("Node", "Zone", "Region", "label:app"),
}
"""What is written where a type of text is wanted: each kind at its edges."""

_METRICS: Final = (
    *("cpu_utilization", "mem_utilization", "application_utilization"),
    *("named_metrics.queue", "utilization.gpu", "named_metrics." + "~" * 128),
)

_TEXTS_OF: Final[Mapping[tuple[type[Model], str], Sequence[str]]] = {
    (Regex, "pattern"): (".*", "^u-([^,]*).*$", "(?i)x{96}", r"\pL|[[:alpha:]]"),
    (Regex, "substitution"): (r"\0", "x", r"\\", ""),
    (ResourceRequest, "divisor"): ("100m", "1", "1Ki", "1e-3"),
    (TcpCheck, "send"): ("00", "fF" * 1024),
    (TcpCheck, "receive"): ("00", "fF" * 1024),
    (PerformanceBased, "metrics"): (*_METRICS, POD_CPU),
    (LoadAware, "metrics"): _METRICS,
}

_VALUES_OF: Final[Mapping[tuple[type[Model], str], Sequence[Value]]] = {
    **_TEXTS_OF,
    (ClientSelector, "namespaces"): ("default", "web"),
    (CertificateAuthority, "file"): (str(certificates.AUTHORITY),),
    (ClientCertificate, "cert_file"): (str(certificates.CERTIFICATE),),
    (ClientCertificate, "key_file"): (str(certificates.KEY),),
    (EnvoyPatch, "cluster"): (
        {"connect_timeout": "3s"},
        {"alt_stat_name": "fuzz", "circuit_breakers": None},
        {"outlier_detection": {"consecutive_5xx": 7}},
        {"track_cluster_stats": {"request_response_sizes": True}},
    ),
    (Maglev, "table_size"): (251, 65521, 65537, 262147),
    (RingHash, "minimum_ring_size"): (1, 1000, 1024, 65536, 100_000),
    (RingHash, "maximum_ring_size"): (1, 512, 1024, 65536, 100_000),
}
"""Where few values are good, or many at once would fill the machine's memory: what the
largest do to one Envoy is tried in `test_translate_accepts`."""

_ALWAYS: Final = {
    (LoadBalancer, "type"),
    (LoadBalancer, "hash_on"),
    (PerformanceBased, "source"),
    (Tls, "ca"),
}
"""What may be left out, without which little of the rest is good."""

_ONE_OF: Final[Mapping[type[Model], frozenset[str]]] = {
    HashKey: frozenset({"source_ip", "header", "cookie", "query_parameter"}),
    WeightRule: frozenset(
        {"match_labels", "addresses", "from_annotation", "from_label"}
        | {"from_resource_request"}
    ),
}
"""Fields of which exactly one is there: by luck that would be rare."""

_DURATIONS: Final = tuple(
    timedelta(milliseconds=number)
    for number in (0, 1, 2, 100, 999, 1000, 1500, 5000, 10_000, 60_000, 3_600_000)
)


def documents(target: Json, namespace: str, name: str) -> st.SearchStrategy[Json]:
    """Return policies called *name* for *target* that the models accept."""

    def complete(spec: Json) -> Json:
        spec["targetRefs"] = [target]
        return {
            "apiVersion": API_VERSION,
            "kind": "TrafficPolicy",
            "metadata": {"namespace": namespace, "name": name},
            "spec": spec,
        }

    return _specs().map(complete).map(accepted)


def accepted(document: Json) -> Json:
    """Return *document* without what the models refuse of it."""
    rest = deepcopy(document)
    for _ in range(_MOST_REPAIRS):
        found = validate_policy(rest)
        if isinstance(found, TrafficPolicy):
            return rest
        _cut(rest, found[0].path)  # the others may be about the same
    message = f"there is always more to cut of {rest}"
    raise AssertionError(message)


def _cut(document: Json, path: FieldPath) -> None:
    """Take out what *path* leads to, or the last that is there on the way."""
    way: list[tuple[Holder, str | int]] = []
    holder: Value = document
    for step in path:
        if not isinstance(holder, dict | list) or not _has(holder, step):
            break
        way.append((holder, step))
        holder = holder[step]  # type: ignore[index]  # of its kind
    last_holder, last_step = way[-1]
    del last_holder[last_step]  # type: ignore[arg-type]  # as above


def _has(holder: Holder, step: str | int) -> bool:
    if isinstance(holder, dict):
        return step in holder
    return isinstance(step, int) and step < len(holder)


def _specs() -> st.SearchStrategy[Json]:
    """Return all that a policy may say beside its targets, some of it refused."""
    return _model(PolicySpec, leave_out=frozenset({"target_refs"}))


def _model(
    model: type[Model], leave_out: frozenset[str] = frozenset()
) -> st.SearchStrategy[Json]:
    """Return what may be written of *model*, but for the fields to *leave out*."""
    alternatives = _ONE_OF.get(model, frozenset()) - leave_out
    if alternatives:
        return st.sampled_from(sorted(alternatives)).flatmap(
            lambda chosen: _fields(model, leave_out | alternatives - {chosen}, {chosen})
        )
    return _fields(model, leave_out, set())


def _fields(
    model: type[Model], leave_out: frozenset[str], chosen: Collection[str]
) -> st.SearchStrategy[Json]:
    required: dict[str, Values] = {}
    optional: dict[str, Values] = {}
    for name, info in model.model_fields.items():
        alias = info.alias or name
        if name in leave_out or alias in model.later:
            continue
        values = _field(model, name, info)
        is_there = info.is_required() or name in chosen or (model, name) in _ALWAYS
        (required if is_there else optional)[alias] = values
    return st.fixed_dictionaries(required, optional=optional)


def _field(model: type[Model], name: str, info: FieldInfo) -> Values:
    """Return what may stand in a field; how many and between what it says itself."""
    annotation: object = info.annotation
    if type(None) in get_args(annotation):
        (annotation,) = (one for one in get_args(annotation) if one is not type(None))
    return _kind(model, name, annotation, info.metadata)


def _kind(
    model: type[Model], name: str, annotation: object, metadata: Sequence[object]
) -> Values:
    """Return the values of an annotation, whatever it is wrapped in."""
    wrapped = getattr(annotation, "__metadata__", None)
    if wrapped is not None:
        annotation, metadata = get_args(annotation)[0], [*_flat(wrapped), *metadata]
    if annotation == tuple[tuple[str, str], ...]:
        return _labels()
    arguments = get_args(annotation)
    if not arguments:
        assert isinstance(annotation, type), annotation
        return _plain(model, name, annotation, metadata)
    items = _kind(model, name, arguments[0], ())
    least = max(
        (one.min_length for one in metadata if isinstance(one, MinLen)), default=0
    )
    return st.lists(items, min_size=least, max_size=max(least, _MOST_ITEMS))


def _plain(
    model: type[Model], name: str, annotation: type, metadata: Sequence[object]
) -> Values:
    """Return the values of a type that is made of no other."""
    if issubclass(annotation, Model):
        return _model(annotation)
    if issubclass(annotation, Choice):
        return st.sampled_from([str(one) for one in annotation])
    if annotation is bool:
        return st.booleans()
    if (model, name) in _VALUES_OF:
        return st.sampled_from(_VALUES_OF[model, name])
    if annotation is str:
        return st.sampled_from(_texts(model, name, metadata))
    return _between(annotation, metadata)


def _flat(metadata: Sequence[object]) -> Iterator[object]:
    """Yield annotations; those of pydantic's fields are inside them."""
    for one in metadata:
        if isinstance(one, FieldInfo):
            yield from one.metadata
        else:
            yield one


def _labels() -> Values:
    options = {key: st.sampled_from(values) for key, values in LABELS.items()}
    return st.fixed_dictionaries({}, optional=options).filter(bool)


def _texts(model: type[Model], name: str, metadata: Sequence[object]) -> Sequence[str]:
    forms = [one for one in metadata if isinstance(one, WithJsonSchema)]
    for kind, texts in _TEXTS.items():
        if any(one in forms for one in get_args(kind)):
            return texts
    message = f"what may be written in {model.__name__}.{name}? say it in _VALUES_OF"
    raise LookupError(message)


def _between(annotation: type, metadata: Sequence[object]) -> Values:
    """Return values between the bounds: these more often than others."""
    lows: list[Bound] = [one.ge for one in metadata if isinstance(one, Ge)]  # type: ignore[misc]  # comparable with numbers
    bounds_above: list[Bound] = [one.gt for one in metadata if isinstance(one, Gt)]  # type: ignore[misc]  # as above
    highs: list[Bound] = [one.le for one in metadata if isinstance(one, Le)]  # type: ignore[misc]  # as above
    if annotation is timedelta:
        return _durations(lows, highs)
    # Of several bounds the last is the narrowest.
    low, high = [*lows, *bounds_above][-1], highs[-1]
    assert not isinstance(low, timedelta)
    assert not isinstance(high, timedelta)
    if annotation is int:
        least, most = int(low), int(high)
        few = st.integers(least, min(most, least + 200))
        return st.sampled_from([least, most]) | few | st.integers(least, most)
    edges = [*lows[-1:], high]
    inside = st.floats(low, high, exclude_min=bool(bounds_above), allow_subnormal=False)
    return st.sampled_from(edges) | inside


def _durations(lows: Sequence[Bound], highs: Sequence[Bound]) -> Values:
    spans = [one for one in (*lows, *_DURATIONS, *highs) if isinstance(one, timedelta)]
    fitting = [
        one
        for one in spans
        if all(isinstance(low, timedelta) and low <= one for low in lows)
        and all(isinstance(high, timedelta) and one <= high for high in highs)
    ]
    return st.sampled_from(list(map(format_duration, fitting)))
