"""Ask a Service through the sidecar, and print who answered how often.

    python3 ask.py SERVICE [REQUESTS [USER]]

Each request is another user's, in the header x-user and the query parameter id, unless
USER says whose all are.
"""

import sys
from collections import Counter
from http import HTTPStatus
from http.client import HTTPConnection


def main(service: str, requests: str = "100", user: str = "") -> None:
    sidecar = HTTPConnection("127.0.0.1", 15001, timeout=5)
    answers: Counter[str] = Counter()
    for number in range(int(requests)):
        who = user or f"user-{number}"
        headers = {"Host": service, "x-user": who}
        sidecar.request("GET", f"/?id={who}", headers=headers)
        answer = sidecar.getresponse()
        body = answer.read().decode()
        is_fine = answer.status == HTTPStatus.OK
        answers[body if is_fine else f"{answer.status} {body}"] += 1
    for name, times in answers.most_common():
        print(f"{times:5} {name}")


if __name__ == "__main__":
    main(*sys.argv[1:])
