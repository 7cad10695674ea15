"""Good and bad `healthCheck` sections, as a table: what is said of each."""

TCP = "{{type: TCP, {}: @}}"
SEND = "{{type: TCP, tcp: {{{}: @}}}}"
HTTP = "{{type: HTTP, http: {{path: /, {}: @}}}}"
GRPC = "{{type: GRPC, grpc: {{{}: @}}}}"

_DURATION = "must be a duration between 1ms and 87600h"
_STATUS = "must be a status of 100 to 599, or a range such as 200-299"
_HEX = "must be bytes as pairs of hexadecimal digits, at most 1024"
_HOST = "must be a host, maybe with a port: 1 to 255 letters, digits or . - _ : [ ]"
_ASCII = "visible ASCII characters"
_PATH = f"must be a path that begins with /, of at most 1024 {_ASCII} but #"
_SERVICE = f"must be the name of a gRPC service: at most 256 {_ASCII}"
_METHODS = "GET, HEAD, POST, PUT, DELETE, OPTIONS, TRACE, PATCH"

LIMITS: list[tuple[str, list[str], list[str], str]] = [
    (TCP.format("interval"), ["1ms", "1m30s", "87600h"], ["0s", "87601h"],
     f"interval: {_DURATION}"),
    (TCP.format("interval"), ["10s"], ["10", "-1s", "''"],
     "interval: must be a duration such as 500ms, 10s or 1m30s"),
    (TCP.format("interval: 1h, timeout"), ["1ms", "1s", "1h"], ["0s"],
     f"timeout: {_DURATION}"),
    (TCP.format("interval: 10s, timeout"), ["10s"], ["10s1ms", "1h"],
     "timeout: must be <= interval"),
    (TCP.format("timeout"), ["10s"], ["11s"], "timeout: must be <= interval"),
    (TCP.format("unhealthyThreshold"), ["1", "100"], ["0", "101", "1.5"],
     "unhealthyThreshold: must be an integer between 1 and 100"),
    (TCP.format("healthyThreshold"), ["1", "100"], ["0", "101", '"2"'],
     "healthyThreshold: must be an integer between 1 and 100"),
    (TCP.format("jitterPercent"), ["0", "100"], ["-1", "101", "0.5"],
     "jitterPercent: must be an integer between 0 and 100"),
    (TCP.format("noTrafficInterval"), ["1ms", "87600h"], ["0s", "87601h"],
     f"noTrafficInterval: {_DURATION}"),
    (TCP.format("port"), ["1", "65535"], ["0", "65536"],
     "port: must be an integer between 1 and 65535"),
    ("{type: HTTP, http: {path: @}}",
     ["/", "'/healthz?deep=1'", "'/%20'", f"/{'a' * 1023}"],
     ["healthz", "''", "'/a b'", '"/\\n"', "/é", "'/a#b'", f"/{'a' * 1024}"],
     f"http.path: {_PATH}"),
    (HTTP.format("host"), ["a.example:80", "'[::1]:80'", "a_b", "a" * 255],
     ["''", "a/b", "'a b'", '"a\\n"', "a" * 256], f"http.host: {_HOST}"),
    (HTTP.format("method"), _METHODS.split(", "), ["CONNECT", "QUERY"],
     "http.method: unknown value"),
    ("{type: HTTP, http: {path: /, expectedStatuses: [@]}}",
     ["'100'", "'599'", "'100-599'", "'204', '200-200'", "200-299"],
     ["'99'", "'600'", "'299-200'", "'200-600'", "'2xx'", "'200-'", "''"],
     f"http.expectedStatuses[0]: {_STATUS}"),
    (HTTP.format("expectedStatuses"), ["['200']"], ["[]"],
     "http.expectedStatuses: must have at least 1 entry (got 0)"),
    ("{type: HTTP, http: {path: /, expectedStatuses: [@]}}", [], ["200"],
     "http.expectedStatuses[0]: must be a string"),
    (HTTP.format("codec"), ["HTTP1", "HTTP2"], ["HTTP3"],
     "http.codec: unknown value"),
    (GRPC.format("service"), ["''", "shop.v1.Cart", "a" * 256],
     ["'a b'", "é", "a" * 257],
     f"grpc.service: {_SERVICE}"),
    (GRPC.format("authority"), ["a.example"], ["''", "a/b"],
     f"grpc.authority: {_HOST}"),
    (SEND.format("send"), ["'00'", "'50494e47'", "'ABcd'", f"'{'0f' * 1024}'"],
     ["''", "'5'", "xy", f"'{'0f' * 1025}'"], f"tcp.send: {_HEX}"),
    ("{type: TCP, tcp: {receive: [@]}}", ["", "'50', 4f4e"], ["'5'", "'5g'"],
     f"tcp.receive[0]: {_HEX}"),
    (SEND.format("send"), [], ["50494e47", "50"], "tcp.send: must be a string"),
    (SEND.format("receive"), [f"[{', '.join(['ff'] * 16)}]"],
     [f"[{', '.join(['ff'] * 17)}]"],
     "tcp.receive: must have at most 16 entries (got 17)"),
    ("{type: @}", ["TCP", "GRPC"], ["UDP"], "type: unknown value"),
    ("{type: @}", [], ["HTTP"], "http: required with type HTTP: a path"),
    ("{@}", [], ["", "interval: 1s"], "type: required"),
    ("{type: TCP, @}", ["tcp: {}"], ["http: {path: /}"],
     "http: only allowed when type is HTTP (got TCP)"),
    ("{type: TCP, @}", ["tcp: {}"], ["grpc: {}"],
     "grpc: only allowed when type is GRPC (got TCP)"),
    ("{type: GRPC, @}", ["grpc: {}"], ["tcp: {}"],
     "tcp: only allowed when type is TCP (got GRPC)"),
    ("{type: HTTP, http: @}", ["{path: /}"], ["{}"], "http.path: required"),
    ("{type: TCP, @}", [], ["paths: /"], "paths: unknown field"),
]  # fmt: skip

MORE = [
    "null",
    "[]",
    "{type: TCP, timeout: null, http: ~}",
    "{type: TCP, interval: 500ms}",
    "{type: TCP, interval: 1000ms, timeout: 1s}",
]
