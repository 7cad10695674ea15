"""A server that answers with its name and says how busy it is.

The header is an ORCA load report: PerformanceBased goes by it. As many requests
a second keep a server of twice the CAPACITY half as busy.
"""

import json
import os
import signal
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

CAPACITY = float(os.environ.get("CAPACITY", "1"))
REPORT = json.dumps({"rps_fractional": 100, "cpu_utilization": 0.3 / CAPACITY})


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        body = os.environ["NAME"].encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("endpoint-load-metrics", f"JSON {REPORT}")
        self.end_headers()
        self.wfile.write(body)


def main() -> None:
    # The first process of a container ends at SIGTERM only if it says so.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit())
    address = ("0.0.0.0", 8080)  # noqa: S104 - all of the Pod's
    ThreadingHTTPServer(address, Handler).serve_forever()


if __name__ == "__main__":
    main()
