"""Good and bad sections of policies, as tables: what is said of each.

`LIMITS` has rows of a section with `@` in it, the values that are good in its place,
those that are not, and how the one sentence about each of these begins.
"""

from tests.api import health_checks

Rows = list[tuple[str, list[str], list[str], str]]

_ORDER = "must be Node, Zone, Region, or label: with a label's key"
_DURATION = "must be a duration between 1ms and 87600h"
_COUNT = "must be an integer between 1 and 4294967295"
_COUNTED = ["1", "4294967295"]
_UNCOUNTED = ["0", "-1", "4294967296", "1.5", '"5"']

OUTLIER_DETECTION: Rows = [
    ("@", ["{}", "{consecutive5xx: 3}"], [], ""),
    ("@", [], ["[]", "5"], ": must be a mapping"),
    ("{consecutive5xx: @}", ["1", "4294967295"], ["-1", "4294967296", "1.5", "true"],
     "consecutive5xx: must be an integer between 0 and 4294967295"),
    ("{consecutive5xx: 0@}",
     [", consecutiveGatewayErrors: 5", ", consecutiveLocalErrors: 1",
      ", successRate: {}", ", failurePercentage: {}"],
     ["", ", interval: 1s", ", successRate: null"],
     "consecutive5xx: nothing ejects: consecutive5xx is 0, and there is no other"),
    ("{consecutive5xx: 0, consecutiveGatewayErrors: @}", _COUNTED, _UNCOUNTED,
     f"consecutiveGatewayErrors: {_COUNT}"),
    ("{consecutiveGatewayErrors: @}", ["1", "4"], ["5", "6"],
     "consecutiveGatewayErrors: must be below consecutive5xx, which counts these too"),
    ("{consecutiveLocalErrors: @}", _COUNTED, _UNCOUNTED,
     f"consecutiveLocalErrors: {_COUNT}"),
    ("{interval: @}", ["1ms", "87600h"], ["0s", "87601h"], f"interval: {_DURATION}"),
    ("{interval: @}", [], ["10", "1d"], "interval: must be a duration such as"),
    ("{baseEjectionTime: @}", ["1ms", "10m", "87600h"], ["0s", "87601h"],
     f"baseEjectionTime: {_DURATION}"),
    ("{maxEjectionTime: @}", ["30s", "87600h"], ["29s999ms", "1ms"],
     "maxEjectionTime: must be >= baseEjectionTime"),
    ("{baseEjectionTime: 10m, maxEjectionTime: @}", ["10m"], ["5m"],
     "maxEjectionTime: must be >= baseEjectionTime"),
    ("{baseEjectionTime: 1ms, maxEjectionTime: @}", ["1ms"], ["0s", "87601h"],
     f"maxEjectionTime: {_DURATION}"),
    ("{maxEjectionPercent: @}", ["0", "100"], ["-1", "101", "33.3"],
     "maxEjectionPercent: must be an integer between 0 and 100"),
    ("{alwaysEjectOne: @}", ["true", "false"], ["1", '"no"'],
     "alwaysEjectOne: must be true or false"),
    ("{alwaysEjectOne: false, maxEjectionPercent: @}", ["1"], ["0"],
     "maxEjectionPercent: must be above 0 with alwaysEjectOne: false"),
    ("{successRate: {minimumHosts: @}}", _COUNTED, _UNCOUNTED,
     f"successRate.minimumHosts: {_COUNT}"),
    ("{successRate: {requestVolume: @}}", _COUNTED, _UNCOUNTED,
     f"successRate.requestVolume: {_COUNT}"),
    ("{successRate: {stdevFactor: @}}", ["0.1", "1", "10"], ["0.09", "10.1", ".nan"],
     "successRate.stdevFactor: must be a number between 0.1 and 10"),
    ("{failurePercentage: {threshold: @}}", ["1", "100"], ["0", "101", "85.5"],
     "failurePercentage.threshold: must be an integer between 1 and 100"),
    ("{failurePercentage: {minimumHosts: @}}", _COUNTED, _UNCOUNTED,
     f"failurePercentage.minimumHosts: {_COUNT}"),
    ("{failurePercentage: {requestVolume: @}}", _COUNTED, _UNCOUNTED,
     f"failurePercentage.requestVolume: {_COUNT}"),
    ("{@: 5}", [], ["consecutive5Xx", "maxEjection"], "@: unknown field"),
]  # fmt: skip

PANIC_THRESHOLD: Rows = [
    ("@", ["0", "100", "33.5", "null"], ["-1", "100.5", ".nan", ".inf", '"50"', "true"],
     ": must be a number between 0 and 100"),
]  # fmt: skip

CIRCUIT_BREAKER: Rows = [
    ("@", ["{}", "{maxRetries: 0}", "{retryBudget: {}}"], [], ""),
    *(
        (f"{{{name}: @}}", _COUNTED, _UNCOUNTED, f"{name}: {_COUNT}")
        for name in ("maxConnections", "maxPendingRequests", "maxRequests")
    ),
    ("{maxRetries: @}", ["0", "4294967295"], ["-1", "4294967296"],
     "maxRetries: must be an integer between 0 and 4294967295"),
    ("{retryBudget: {percent: @}}", ["0.1", "100"], ["0", "-1", "100.1", ".nan"],
     "retryBudget.percent: must be a number above 0, at most 100"),
    ("{retryBudget: {minRetryConcurrency: @}}", ["0", "4294967295"], ["-1", "1.5"],
     "retryBudget.minRetryConcurrency: must be an integer between 0 and 4294967295"),
    ("{retryBudget: {}, @}", ["maxRequests: 1", "maxRetries: null"],
     ["maxRetries: 3"], "maxRetries: not allowed with retryBudget"),
    ("{perEndpoint: {maxConnections: @}}", _COUNTED, _UNCOUNTED,
     f"perEndpoint.maxConnections: {_COUNT}"),
    ("{perEndpoint: @}", [], ["{}"], "perEndpoint.maxConnections: required"),
    ("{perEndpoint: {maxConnections: 1, @: 5}}", [],
     ["maxRequests", "maxPendingRequests", "maxRetries"],
     "perEndpoint.@: unknown field"),
]  # fmt: skip

_CONDITIONS = (
    *("connect-failure", "refused-stream", "reset-before-request", "reset"),
    *("gateway-error", "5xx", "retriable-4xx", "envoy-ratelimited", "cancelled"),
    *("deadline-exceeded", "internal", "resource-exhausted", "unavailable"),
)

RETRY: Rows = [
    ("{attempts: @}", ["0", "10"], ["-1", "11", "1.5"],
     "attempts: must be an integer between 0 and 10"),
    ("{retryOn: [@]}", [*_CONDITIONS, "5xx, reset"],
     ["retriable-status-codes", "retriable-headers", "nonsense", "''"],
     "retryOn[0]: unknown value"),
    ("{retryOn: @}", [], ["[]"], "retryOn: must have at least 1 entry (got 0)"),
    ("{retryOn: @}", [], ["5xx"], "retryOn: must be a list"),
    ("{retryOn: [reset, @]}", ["5xx"], ["reset"],
     "retryOn[1]: named twice (got reset again)"),
    ("{perTryTimeout: @}", [], ["1s"], "perTryTimeout: not supported yet"),
    ("{backoff: {base: @}}", ["1ms", "1h"], ["0s", "87601h"],
     f"backoff.base: {_DURATION}"),
    ("{backoff: {max: @}}", ["25ms", "87600h"], ["24ms"],
     "backoff.max: must be >= base"),
    ("{backoff: {base: 1s, max: @}}", ["1s"], ["250ms"],
     "backoff.max: must be >= base"),
    ("{avoidTriedEndpoints: @}", ["true", "false"], ["1"],
     "avoidTriedEndpoints: must be true or false"),
    ("@", ["{}"], ["[]"], ": must be a mapping"),
]  # fmt: skip

_STREAMS = "must be an integer between 1 and 2147483647"
_KEEPALIVE = "must be a duration between 1s and 9h6m7s"

CONNECTION: Rows = [
    ("{connectTimeout: @}", ["1ms", "87600h"], ["0s", "87601h"],
     f"connectTimeout: {_DURATION}"),
    ("{protocol: @}", ["HTTP1", "HTTP2", "Same", "Auto"], ["HTTP3", "''"],
     "protocol: unknown value"),
    ("{idleTimeout: @}", ["0s", "1ms", "87600h"], ["87601h"],
     "idleTimeout: must be a duration between 0s and 87600h"),
    ("{idleTimeout: @}", [], ["0", "-1s"], "idleTimeout: must be a duration such as"),
    ("{maxConnectionDuration: @}", ["1ms", "87600h"], ["0s", "87601h"],
     f"maxConnectionDuration: {_DURATION}"),
    ("{maxRequestsPerConnection: @}", _COUNTED, _UNCOUNTED,
     f"maxRequestsPerConnection: {_COUNT}"),
    ("{http2: {maxConcurrentStreams: @}}", ["1", "2147483647"], ["0", "2147483648"],
     f"http2.maxConcurrentStreams: {_STREAMS}"),
    ("{http2: {keepalive: {timeout: 1s, interval: @}}}", ["1ms"], ["0s", "87601h"],
     f"http2.keepalive.interval: {_DURATION}"),
    ("{http2: {keepalive: {interval: 1s, timeout: @}}}", ["1ms"], ["0s", "87601h"],
     f"http2.keepalive.timeout: {_DURATION}"),
    ("{http2: {keepalive: @}}", [], ["{interval: 1s}"],
     "http2.keepalive.timeout: required"),
    ("{tcpKeepalive: {probes: @}}", ["1", "127"], ["0", "128"],
     "tcpKeepalive.probes: must be an integer between 1 and 127"),
    ("{tcpKeepalive: {time: @}}", ["1s", "32767s"], ["0s", "32768s"],
     f"tcpKeepalive.time: {_KEEPALIVE}"),
    ("{tcpKeepalive: {interval: @}}", ["1s", "32767s"], ["0s", "32768s"],
     f"tcpKeepalive.interval: {_KEEPALIVE}"),
    ("{tcpKeepalive: {interval: @}}", [], ["1500ms"],
     "tcpKeepalive.interval: must be whole seconds"),
    ("{proxyProtocol: @}", ["V1", "V2"], ["V3", "''"],
     "proxyProtocol: unknown value"),
    ("{proxyProtocol: @}", [], ["2"], "proxyProtocol: must be one of V1, V2"),
    ("{bufferLimitBytes: @}", _COUNTED, _UNCOUNTED, f"bufferLimitBytes: {_COUNT}"),
    ("@", ["{}", "{http2: {}, tcpKeepalive: {}}"], [], ""),
]  # fmt: skip

_CLIENTS_HEADER = "must be the name of a header that a client may send"

_COOKIE = "type: Cookie, cookie: {name: sid"
_TTL = "must be a duration"

SESSION: Rows = [
    ("{type: Cookie, cookie: {name: @}}", ["sid", "__Host-sid"],
     ["''", "'a b'", "'a;b'", "'a=b'"], "cookie.name: must be a cookie name"),
    (f"{{{_COOKIE}, ttl: @}}}}", ["0s", "1s", "87600h"], ["87601h"],
     f"cookie.ttl: {_TTL} between 0s and 87600h"),
    (f"{{{_COOKIE}, ttl: @}}}}", [], ["1500ms"],
     "cookie.ttl: must be whole seconds"),
    (f"{{{_COOKIE}, ttl: @}}}}", [], ["5", "-1s"], f"cookie.ttl: {_TTL} such as"),
    (f"{{{_COOKIE}, path: @}}}}", ["/", "/a b"], ["a", "''", "'/;'"],
     "cookie.path: must be a path that begins with /"),
    (f"{{{_COOKIE}, sameSite: @}}}}", ["Strict", "Lax", "None"], ["Loose"],
     "cookie.sameSite: unknown value"),
    (f"{{{_COOKIE}, secure: @}}}}", ["true", "false"], ["1"],
     "cookie.secure: must be true or false"),
    ("{type: Header, header: {name: @}}", ["x-session", "X-Session"],
     ["host", "':path'", "'a b'"], f"header.name: {_CLIENTS_HEADER}"),
    ("{type: Header, header: {name: x}, @: true}", ["strict", "keepDraining"], [], ""),
    ("{type: Header, header: {name: x}, @: 1}", [], ["strict", "keepDraining"],
     "@: must be true or false"),
    ("{type: Cookie@}", [], ["", ", cookie: null"],
     "cookie: required with type Cookie: a name"),
    ("{type: Header@}", [], [""], "header: required with type Header: a name"),
    ("{type: @, cookie: {name: a}}", ["Cookie"], ["Session"], "type: unknown value"),
    (f"{{{_COOKIE}}}, @}}", ["header: null"], ["header: {name: x}"],
     "header: only allowed when type is Header (got Cookie)"),
    ("{type: Header, header: {name: x}, @}", ["cookie: null"], ["cookie: {name: a}"],
     "cookie: only allowed when type is Cookie (got Header)"),
    ("@", [], ["{}", "{cookie: {name: a}}"], "type: required"),
]  # fmt: skip

OVERRIDE_HOST: Rows = [
    ("{header: {name: @}}", ["x-endpoint", "X-Endpoint", "host-2"],
     ["host", "HOST", "':authority'", "'a b'", "''", "'x\\n'"],
     f"header.name: {_CLIENTS_HEADER}"),
    ("{header: {name: @}}", [], ["5"], "header.name: must be a string"),
    ("{header: @}", [], ["{}"], "header.name: required"),
    ("@", [], ["{}"], "header: required"),
]  # fmt: skip

RATE_LIMIT: Rows = [
    ("{requests: @}", _COUNTED, _UNCOUNTED, f"requests: {_COUNT}"),
    ("{requests: 5, burst: @}", _COUNTED, _UNCOUNTED, f"burst: {_COUNT}"),
    ("{requests: 5, per: @}", ["50ms", "1h", "87600h"], ["49ms", "87601h"],
     "per: must be a duration between 50ms and 87600h"),
    ("{requests: 5, per: @}", [], ["1", "Hour"], "per: must be a duration such as"),
    ("{requests: 5, @: 429}", [], ["status"], "@: unknown field"),
    ("@", [], ["{}", "{per: 1s}"], "requests: required"),
]  # fmt: skip

ADMISSION_CONTROL: Rows = [
    ("{successRateThreshold: @}", ["1", "99.9", "100"], ["0.9", "100.1", ".nan"],
     "successRateThreshold: must be a number between 1 and 100"),
    ("{samplingWindow: @}", ["1s", "1h"], ["0s", "999ms", "3601s"],
     "samplingWindow: must be"),
    ("{samplingWindow: @}", [], ["1500ms"], "samplingWindow: must be whole seconds"),
    ("{rpsThreshold: @}", ["0", "4294967295"], ["-1", "4294967296", "1.5"],
     "rpsThreshold: must be an integer between 0 and 4294967295"),
    ("{aggression: @}", ["1", "1.5", "100"], ["0", "0.9", "100.1", ".inf"],
     "aggression: must be a number between 1 and 100"),
    ("{maxRejectionPercent: @}", ["0.1", "100"], ["0", "100.1", ".nan"],
     "maxRejectionPercent: must be a number above 0, at most 100"),
    ("{successStatuses: [@]}", ["'200'", "'200-299'", "'100-599', '404'"],
     ["'99'", "'600'", "'300-200'", "''"],
     "successStatuses[0]: must be a status of 100 to 599"),
    ("{successStatuses: @}", [], ["[]"], "successStatuses: must have at least 1 entry"),
    ("@", ["{}"], [], ""),
    ("@", [], ["[]"], ": must be a mapping"),
]  # fmt: skip

_PERCENT = "must be a number between 0 and 100"

ADAPTIVE_CONCURRENCY: Rows = [
    ("{maxConcurrency: 4294967295, minConcurrency: @}", _COUNTED, _UNCOUNTED,
     f"minConcurrency: {_COUNT}"),
    ("{minConcurrency: 1, maxConcurrency: @}", _COUNTED, _UNCOUNTED,
     f"maxConcurrency: {_COUNT}"),
    ("{maxConcurrency: @}", ["3"], ["2"], "maxConcurrency: must be >= minConcurrency"),
    ("{minConcurrency: @}", ["1000"], ["1001"],
     "maxConcurrency: must be >= minConcurrency"),
    ("{updateInterval: @}", ["1ms", "1h"], ["0s", "61m"],
     "updateInterval: must be a duration between 1ms and 1h"),
    ("{samplePercentile: @}", ["0.1", "99.9", "100"], ["0", "100.1", ".nan"],
     "samplePercentile: must be a number above 0, at most 100"),
    ("{minRTT: {interval: @}}", ["1s", "87600h"], ["999ms", "87601h"],
     "minRTT.interval: must be a duration between 1s and 87600h"),
    ("{minRTT: {requestCount: @}}", _COUNTED, _UNCOUNTED,
     f"minRTT.requestCount: {_COUNT}"),
    ("{minRTT: {jitterPercent: @}}", ["0", "100"], ["-1", "100.1", ".nan"],
     f"minRTT.jitterPercent: {_PERCENT}"),
    ("{minRTT: {bufferPercent: @}}", ["0", "100"], ["-1", "100.1", ".inf"],
     f"minRTT.bufferPercent: {_PERCENT}"),
    ("{minRTT: {fixedValue: @}}", ["1ms", "87600h", "1s, bufferPercent: 5"],
     ["0s", "87601h"], f"minRTT.fixedValue: {_DURATION}"),
    ("{minRTT: {fixedValue: 1s, @: 1}}", [], ["requestCount", "jitterPercent"],
     "minRTT.@: not allowed with fixedValue"),
    ("{minRTT: {fixedValue: 1s, interval: @}}", ["null"], ["60s"],
     "minRTT.interval: not allowed with fixedValue"),
    ("@", ["{}", "{minRTT: {}}"], [], ""),
    ("@", [], ["[]"], ": must be a mapping"),
]  # fmt: skip

_CA = "ca: {file: /etc/tls/ca.crt}"
_MUTUAL = f"mode: Mutual, {_CA}, clientCertificate"
_PAIR = "{certFile: /etc/tls/tls.crt, keyFile: /etc/tls/tls.key}"
_FILE = "must be an absolute path of at most 512 visible ASCII characters"
_LONG_NAME = ".".join(["a" * 63] * 4)[:-2]  # 253 characters
_DISABLED = "only allowed when mode is Simple or Mutual (got Disable)"

TLS: Rows = [
    ("{mode: @}", ["Disable"], ["TLS", "''"], "mode: unknown value"),
    ("@", [], ["{}"], "mode: required"),
    ("@", [], ["true", "[]"], ": must be a mapping"),
    (f"{{mode: @, {_CA}}}", ["Simple"], [], ""),
    (f"{{{_MUTUAL}: @}}", [_PAIR], ["{certFile: /a/b, keyFile: /a/c/b}"],
     "clientCertificate.keyFile: must be in the directory of certFile"),
    (f"{{{_MUTUAL}: {{certFile: /a/b, @}}}}", ["keyFile: /a/c"], [""],
     "clientCertificate.keyFile: required"),
    (f"{{mode: Mutual, {_CA}@}}", [], [""],
     "clientCertificate: required when mode is Mutual"),
    (f"{{mode: Simple, {_CA}@}}", ["", ", insecureSkipVerify: false"],
     [f", clientCertificate: {_PAIR}"],
     "clientCertificate: only allowed when mode is Mutual (got Simple)"),
    ("{mode: Simple@}", [", insecureSkipVerify: true"],
     ["", ", insecureSkipVerify: false", ", sni: a.example"],
     "ca: required: without it nobody would check who answers"),
    ("{mode: Simple, insecureSkipVerify: true, @}", ["sni: a.example"], [_CA],
     "ca: not allowed with insecureSkipVerify: true, which checks nothing"),
    ("{mode: Simple, insecureSkipVerify: true, @}", [], ["subjectAltNames: [a.b]"],
     "subjectAltNames: not allowed with insecureSkipVerify: true"),
    ("{mode: Simple, insecureSkipVerify: @}", ["true"], [], ""),
    ("{mode: Disable, @}", ["insecureSkipVerify: false"], [_CA], f"ca: {_DISABLED}"),
    ("{mode: Disable, @}", [], ["sni: a.example"], f"sni: {_DISABLED}"),
    ("{mode: Disable, @}", [], ["minVersion: TLSv1_2"], f"minVersion: {_DISABLED}"),
    ("{mode: Disable, @}", [], ["insecureSkipVerify: true"],
     f"insecureSkipVerify: {_DISABLED}"),
    ("{mode: Simple, ca: @}", [], ["{}"], "ca.file: required"),
    ("{mode: Simple, ca: {file: /a, @: true}}", [], ["system", "configMapRef"],
     "ca.@: not supported yet"),
    ("{mode: Simple, ca: {file: @}}",
     ["/a", "/etc/ssl/certs/ca-certificates.crt", "/a/.b/..c/d..", "/" + "a" * 511],
     ["''", "a", "a/b", "/", "/a/", "//a", "/a//b", "/./a", "/a/..", "/../a", "/a b",
      "/é", "/" + "a" * 512, '"/a\\n"'],
     f"ca.file: {_FILE}"),
    (f"{{mode: Simple, {_CA}, sni: @}}", ["a", "a.example", "1a.2b", _LONG_NAME],
     ["''", "A.example", "a.example.", "'10.0.0.1'", "'::1'", "a_b", "'*.a'",
      f"{_LONG_NAME}b"],
     "sni: must be a DNS name"),
    (f"{{mode: Simple, {_CA}, subjectAltNames: [@]}}",
     ["a.example", "spiffe://mesh/web", "https://a/b.1", _LONG_NAME],
     ["''", "A.example", "'10.0.0.1'", "'a b'", "'://a'", "'spiffe:a'",
      f"{_LONG_NAME}b", f"a://{'b' * 509}"],
     "subjectAltNames[0]: must be a DNS name in lower case, or a URI"),
    (f"{{mode: Simple, {_CA}, minVersion: @}}", ["TLSv1_2", "TLSv1_3"],
     ["TLSv1_1", "'1.2'", "TLS_AUTO"], "minVersion: unknown value"),
    (f"{{mode: Simple, {_CA}, maxVersion: @}}", ["TLSv1_2", "TLSv1_3"], ["SSLv3"],
     "maxVersion: unknown value"),
    (f"{{mode: Simple, {_CA}, minVersion: TLSv1_3, maxVersion: @}}", ["TLSv1_3"],
     ["TLSv1_2"], "maxVersion: must be >= minVersion (got TLSv1_2 < TLSv1_3)"),
]  # fmt: skip

OVERLOAD: Rows = [
    ("{dropPercent: @}", ["0.00001", "5", "12.5", "100"],
     ["0", "-1", "100.1", ".nan", '"5"', "true"],
     "dropPercent: must be a number above 0, at most 100"),
    ("@", [], ["{}"], "dropPercent: required"),
    ("@", [], ["5", "[]"], ": must be a mapping"),
]  # fmt: skip

STALE_ENDPOINTS: Rows = [
    ("{after: @}", ["60s", "1m", "87600h"], ["59s999ms", "0s", "87601h"],
     "after: must be a duration between 1m and 87600h"),
    ("{after: @}", [], ["60", "1d"], "after: must be a duration such as"),
    ("@", [], ["{}"], "after: required"),
]  # fmt: skip

ENVOY_PATCH: Rows = [
    ("{cluster: @}", ["{connect_timeout: 3s}", "{unknown: [1, 2.5, null, {a: true}]}"],
     [], ""),
    ("{cluster: @}", [], ["[]", "5", "true"], "cluster: must be a mapping"),
    ("{cluster: @}", [], ["{}"], "cluster: must have at least 1 entry (got 0)"),
    ("{cluster: {a: @}}", [], [".nan", ".inf"], "cluster: must be JSON"),
    ("@", [], ["{}"], "cluster: required"),
    ("{cluster: {a: 1}, @: {}}", [], ["listener"], "@: unknown field"),
]  # fmt: skip

_LONGEST = ".".join(["a" * 63] * 4)[:-1]  # and one character more

_A = "{zone: a, weight: 1}"
_TO = f"{{to: [{_A}]}}"
_RULES = f"{_TO}, {{from: {{zone: a}}, to: [{_A}]}}, @"
_THREE = f"{{type: Weighted, weighted: {{rules: [{_RULES}]}}}}"

LOCALITY: Rows = [
    ("@", ["{type: None}", "{type: Failover}", "{type: Failover, failover: {}}"],
     [], ""),
    ("@", [], ["{}", "{failover: {}}"], "type: required"),
    ("{type: @}", [], ["Near", "''"], "type: unknown value"),
    ("{type: None, @: {}}", [], ["failover"],
     "@: only allowed when type is Failover (got None)"),
    ("{type: Failover, zoneAware: @}", [], ["{}"],
     "zoneAware: only allowed when type is ZoneAware (got Failover)"),
    ("{type: LoadAware@}", ["", ", loadAware: {}",
     ", loadAware: {metrics: [mem_utilization, named_metrics.q]}"], [], ""),
    ("{type: ZoneAware, loadAware: @}", [], ["{}"],
     "loadAware: only allowed when type is LoadAware (got ZoneAware)"),
    ("{type: LoadAware, loadAware: {varianceThreshold: @}}", ["0", "0.5", "1"],
     ["-0.1", "1.1", ".nan"],
     "loadAware.varianceThreshold: must be a number between 0 and 1"),
    ("{type: LoadAware, loadAware: {remoteProbePercent: @}}", ["0", "0.5", "99"],
     ["-1", "100", ".nan"],
     "loadAware.remoteProbePercent: must be a number between 0 and 99"),
    ("{type: LoadAware, loadAware: {smoothing: @}}", ["1ms", "87600h"],
     ["0s", "87601h"], f"loadAware.smoothing: {_DURATION}"),
    ("{type: LoadAware, loadAware: {updatePeriod: @}}", ["100ms", "87600h"],
     ["99ms", "87601h"],
     "loadAware.updatePeriod: must be a duration between 100ms and 87600h"),
    ("{type: LoadAware, loadAware: {expiration: @}}", ["1ms", "87600h"],
     ["0s", "87601h"], f"loadAware.expiration: {_DURATION}"),
    ("{type: LoadAware, loadAware: {metrics: [@]}}", [],
     ["cpu", "''", "kubernetes.cpu"],
     "loadAware.metrics[0]: must be the name of an ORCA metric"),
    ("{type: ZoneAware@}", ["", ", zoneAware: {}", ", zoneAware: {forceLocalZone: {}}",
     ", zoneAware: {failOnPanic: true, basis: EndpointWeight}"], [], ""),
    ("{type: ZoneAware, zoneAware: {minimumClusterSize: @}}", ["1", "100000"],
     ["0", "100001", "1.5"],
     "zoneAware.minimumClusterSize: must be an integer between 1 and 100000"),
    ("{type: ZoneAware, zoneAware: {forceLocalZone: {minimumEndpoints: @}}}",
     ["1", "100000"], ["0", "100001"],
     "zoneAware.forceLocalZone.minimumEndpoints: must be an integer between 1 and"),
    ("{type: ZoneAware, zoneAware: {routingPercent: @}}", ["0", "33.5", "100"],
     ["-1", "100.5", ".nan", '"5"'],
     "zoneAware.routingPercent: must be a number between 0 and 100"),
    ("{type: ZoneAware, zoneAware: {failOnPanic: @}}", [], ["1"],
     "zoneAware.failOnPanic: must be true or false"),
    ("{type: ZoneAware, zoneAware: {basis: @}}", [], ["Endpoints", "''"],
     "zoneAware.basis: unknown value"),
    ("{type: Failover, weighted: @}", [], ["{rules: [{to: [{zone: a, weight: 1}]}]}"],
     "weighted: only allowed when type is Weighted (got Failover)"),
    ("{type: @}", [], ["Weighted"], "weighted: required with type Weighted: rules"),
    ("{type: Weighted, weighted: @}", [], ["{}"], "weighted.rules: required"),
    (f"{{type: Weighted, weighted: {{rules: [{{@, to: [{_A}]}}]}}}}",
     ["from: {zone: a}", "from: {region: r}", "from: {region: r, zone: a}",
      "from: null"], ["from: {}", "from: {zone: null}"],
     "weighted.rules[0].from: needs region, zone or both (got none)"),
    (f"{{type: Weighted, weighted: {{rules: [{{from: {{zone: @}}, to: [{_A}]}}]}}}}",
     ["a.b_C-1", "a" * 63], ["''", "a b", "a/b", "a" * 64, "-a"],
     "weighted.rules[0].from.zone: must be 1 to 63 letters, digits, - _ ."),
    ("{type: Weighted, weighted: {rules: [{to: [{@}]}]}}",
     ["zone: a, weight: 1000000", "region: r, weight: 0"], ["weight: 1"],
     "weighted.rules[0].to[0]: needs region, zone or both (got none)"),
    ("{type: Weighted, weighted: {rules: [{to: [{zone: a, weight: @}]}]}}", [],
     ["-1", "1000001", "1.5"],
     "weighted.rules[0].to[0].weight: must be an integer between 0 and 1000000"),
    ("{type: Weighted, weighted: {rules: [{to: [{zone: a}]@}]}}", [], [""],
     "weighted.rules[0].to[0].weight: required"),
    (f"{{type: Weighted, weighted: {{rules: [{{to: [{_A}, @]}}]}}}}",
     ["{region: r, weight: 1}", "{region: r, zone: a, weight: 1}"],
     ["{zone: a, weight: 2}"], "weighted.rules[0].to[1]: named twice"),
    ("{type: Weighted, weighted: {rules: [{to: [@]}]}}", [], [""],
     "weighted.rules[0].to: must have at least 1 entry (got 0)"),
    (_THREE,
     [f"{{from: {{zone: b}}, to: [{_A}]}}", f"{{from: {{region: a}}, to: [{_A}]}}"],
     [f"{{from: {{zone: a}}, to: [{_A}]}}", _TO],
     "weighted.rules[2]: named twice"),
    ("{type: Weighted, weighted: {default: @, rules: [{to: [{zone: a, weight: 0}]}]}}",
     ["EndpointCount"], ["None"],
     "weighted.rules[0].to: needs a weight above 0 with default: None"),
    (f"{{type: Weighted, weighted: {{default: @, rules: [{_TO}]}}}}", ["None"],
     ["All", "0", "''"], "weighted.default: "),
    ("{type: Failover, failover: {order: [@]}}",
     ["Zone", "Region, Zone", "Node, Zone, Region", "'label:rack', Zone",
      "'label:a.example/rack'", f"'label:{_LONGEST[:253]}/{'b' * 63}'"],
     ["zone", "Rack", "rack", "label", "'label:'", "'label:a b'", "''",
      "'label:a/b/c'", f"'label:{_LONGEST}/b'"],
     f"failover.order[0]: {_ORDER}"),
    ("{type: Failover, failover: {order: [Zone, @]}}", ["Region"], ["Zone"],
     "failover.order[1]: named twice"),
    ("{type: Failover, failover: {order: @}}", [], ["[]"],
     "failover.order: must have at least 1 entry (got 0)"),
    ("{type: Failover, failover: {overprovisioningPercent: @}}", ["100", "10000"],
     ["99", "10001", "140.5"],
     "failover.overprovisioningPercent: must be an integer between 100 and 10000"),
]  # fmt: skip

LIMITS: dict[str, Rows] = {
    "locality": LOCALITY,
    "healthCheck": health_checks.LIMITS,
    "outlierDetection": OUTLIER_DETECTION,
    "panicThreshold": PANIC_THRESHOLD,
    "circuitBreaker": CIRCUIT_BREAKER,
    "retry": RETRY,
    "connection": CONNECTION,
    "session": SESSION,
    "overrideHost": OVERRIDE_HOST,
    "rateLimit": RATE_LIMIT,
    "admissionControl": ADMISSION_CONTROL,
    "adaptiveConcurrency": ADAPTIVE_CONCURRENCY,
    "tls": TLS,
    "overload": OVERLOAD,
    "staleEndpoints": STALE_ENDPOINTS,
    "envoyPatch": ENVOY_PATCH,
}

GOOD = [
    (section, written.replace("@", one))
    for section, rows in LIMITS.items()
    for written, good, _, _ in rows
    for one in good
]
BAD = [
    (section, written.replace("@", one), said.replace("@", one))
    for section, rows in LIMITS.items()
    for written, _, bad, said in rows
    for one in bad
]
ALL = [
    *GOOD,
    *((section, written) for section, written, _ in BAD),
    *(("healthCheck", written) for written in health_checks.MORE),
    *((section, "null") for section in LIMITS),
]
"""Each with the section's name."""
