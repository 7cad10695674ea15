"""What the property tests compare the engine with: a client and an auditor.

Both are written from the protocol document alone, with dicts and scans, and share
nothing with the engine. The client holds what it was sent; the auditor stands beside
the server, sees every request and response, and knows what is owed and what is one
response too many.
"""

from dataclasses import dataclass, field
from typing import Final

from envoy.service.discovery.v3.discovery_pb2 import (
    DeltaDiscoveryRequest,
    DeltaDiscoveryResponse,
    DiscoveryRequest,
    DiscoveryResponse,
)

from xds_server.xds import CLUSTER, ENDPOINT, LISTENER

FULL: Final = {CLUSTER, LISTENER}
Content = dict[str, bytes]


def name_in(body: bytes) -> str:
    """Return the name that a test resource's body begins with."""
    return body.split(b"|")[0].decode()


@dataclass(kw_only=True)
class Interest:
    """What one side believes that the client wants of a type, on one stream."""

    type_url: str
    has_begun: bool = False
    has_named: bool = False
    names: set[str] = field(default_factory=set)
    wildcard: bool = False

    def wants(self, name: str) -> bool:
        return self.wildcard or name in self.names

    def set_all(self, names: set[str]) -> None:
        """Take in the list of a state-of-the-world request."""
        self.has_begun = True
        if not names and not self.has_named:
            self.wildcard = self.type_url in FULL
            return
        self.has_named = True
        self.names = names - {"*"}
        self.wildcard = "*" in names

    def add(self, subscribe: set[str], unsubscribe: set[str]) -> None:
        """Take in the lists of a delta request."""
        if not self.has_begun and not subscribe:
            self.wildcard = self.type_url in FULL
        elif self.has_begun:
            self.names -= unsubscribe
            self.wildcard = self.wildcard and "*" not in unsubscribe
        self.has_begun = True
        self.names |= subscribe - {"*"}
        self.wildcard = self.wildcard or "*" in subscribe


@dataclass(kw_only=True)
class ClientType:
    """What a client wants and holds of one type.

    `doubted` are the names that it rejected: nothing is said of what it holds of them.
    """

    interest: Interest
    held: Content = field(default_factory=dict)
    versions: dict[str, str] = field(default_factory=dict)
    doubted: set[str] = field(default_factory=set)
    nonce: str = ""

    def drop_unwanted(self) -> None:
        self.held = {n: c for n, c in self.held.items() if self.interest.wants(n)}

    def take_sotw(self, response: DiscoveryResponse, *, rejects: bool) -> None:
        """Apply or reject a response."""
        bodies = {name_in(any_.value): any_.value for any_ in response.resources}
        assert len(bodies) == len(response.resources), "rule 29: no name twice"
        self.nonce = response.nonce
        is_full = self.interest.type_url in FULL
        if rejects:
            self.doubted |= bodies.keys() | (self.held.keys() if is_full else set())
            return
        self.doubted = set() if is_full else self.doubted - bodies.keys()
        self.held = bodies if is_full else {**self.held, **bodies}
        self.drop_unwanted()

    def take_delta(self, response: DeltaDiscoveryResponse, *, rejects: bool) -> None:
        """Apply or reject a response."""
        bodies = {r.name: r.resource.value for r in response.resources}
        removed = set(response.removed_resources)
        assert len(bodies) == len(response.resources), "rule 29: no name twice"
        assert not bodies.keys() & removed
        self.nonce = response.nonce
        if rejects:
            self.doubted |= bodies.keys() | removed
            return
        self.doubted -= bodies.keys() | removed
        self.held |= bodies
        self.versions |= {r.name: r.version for r in response.resources}
        self.held = {n: c for n, c in self.held.items() if n not in removed}
        self.drop_unwanted()


@dataclass(kw_only=True)
class Account:
    """What the server owes the client of one type on one stream.

    `known` is the content that the client was sent or claimed, None where it was told
    that there is none; `touched` was published since then; `owed` was asked for;
    `needed` is an assignment whose cluster was sent.
    """

    interest: Interest
    known: dict[str, bytes | None] = field(default_factory=dict)
    touched: set[str] = field(default_factory=set)
    owed: set[str] = field(default_factory=set)
    needed: set[str] = field(default_factory=set)
    owes_answer: bool = False
    is_waiting: bool = False
    nonce: str = ""

    def is_due(self, name: str, content: Content) -> bool:
        """May the server say something about *name* now?"""
        if not self.interest.wants(name):
            return False
        return name in self.owed | self.touched | self.needed or self.known.get(
            name
        ) != content.get(name)

    def settle(self, names: set[str], content: Content) -> None:
        """Say that the client was sent what there is of *names*."""
        self.touched -= names
        self.owed -= names
        self.needed -= names
        self.known.update({name: content.get(name) for name in names})
        self.owes_answer = False
        self.is_waiting = True

    def forget_unwanted(self) -> None:
        wants = self.interest.wants
        self.known = {n: c for n, c in self.known.items() if wants(n)}
        self.owed = {n for n in self.owed if wants(n)}
        self.needed = {n for n in self.needed if wants(n)}


class Auditor:
    """Stands beside the server: checks what leaves against what came before.

    *content* is what is published, by type; *history* says what content a version was.
    """

    def __init__(self, content: dict[str, Content], history: dict[str, bytes]) -> None:
        self._content = content
        self._history = history
        self._introduced: set[str] = set()
        self.accounts = {
            type_url: Account(interest=Interest(type_url=type_url))
            for type_url in content
        }

    def hear_change(self, type_url: str, names: set[str]) -> None:
        """Hear that the resources called *names* were published."""
        self.accounts[type_url].touched |= names

    def hear_sotw(self, request: DiscoveryRequest) -> None:
        """Hear a request that reaches the server."""
        account = self.accounts[request.type_url]
        if request.response_nonce and account.nonce:
            if request.response_nonce != account.nonce:
                return  # rule 5
            account.is_waiting = False
        interest = account.interest
        before, was_wildcard = set(interest.names), interest.wildcard
        interest.set_all(set(request.resource_names))
        added = interest.names - before
        if interest.wildcard and not was_wildcard:
            added |= self._content[request.type_url].keys()
            account.owes_answer |= request.type_url in FULL
        account.owed |= added
        account.forget_unwanted()
        account.owes_answer &= interest.wildcard

    def hear_delta(self, request: DeltaDiscoveryRequest) -> None:
        """Hear a request that reaches the server."""
        account = self.accounts[request.type_url]
        if request.response_nonce and request.response_nonce == account.nonce:
            account.is_waiting = False
        content = self._content[request.type_url]
        subscribe = set(request.resource_names_subscribe)
        unsubscribe = set(request.resource_names_unsubscribe)
        has_begun = account.interest.has_begun
        account.interest.add(subscribe, unsubscribe)
        if not has_begun:
            self._begin_delta(account, dict(request.initial_resource_versions))
            return
        account.forget_unwanted()
        account.owes_answer &= account.interest.wildcard
        account.owed |= subscribe - {"*"}  # rules 20 and 24
        if account.interest.wildcard:
            account.owed |= unsubscribe - {"*"}  # rule 22
        if "*" in subscribe:
            account.owed |= content.keys()
            account.owes_answer = True

    def _begin_delta(self, account: Account, versions: dict[str, str]) -> None:
        interest = account.interest
        account.known = {name: self._history[v] for name, v in versions.items()}
        account.owed = interest.names - versions.keys()
        account.owes_answer = interest.wildcard and not versions
        if interest.type_url == ENDPOINT:
            account.needed = self._introduced & self._content[ENDPOINT].keys()
        account.forget_unwanted()

    def see_sotw(self, response: DiscoveryResponse) -> None:
        """Check a response that leaves the server."""
        content = self._content[response.type_url]
        account = self._account_for(response.type_url, response.nonce)
        sent = {name_in(any_.value): any_.value for any_ in response.resources}
        if response.type_url in FULL:
            assert sent == {
                n: c for n, c in content.items() if account.interest.wants(n)
            }
            about = {
                n for n in content.keys() | account.known if account.interest.wants(n)
            }
            about |= account.touched | account.owed
        else:
            assert sent == {name: content.get(name) for name in sent}
            about = set(sent)
        due = {name for name in about if account.is_due(name, content)}
        if response.type_url in FULL:
            assert due or account.owes_answer, "a superfluous response"
        else:
            assert due == about != set(), "a superfluous resource"
        self._introduce(response.type_url, due & sent.keys())
        account.settle(about, content)

    def see_delta(self, response: DeltaDiscoveryResponse) -> None:
        """Check a response that leaves the server."""
        content = self._content[response.type_url]
        account = self._account_for(response.type_url, response.nonce)
        sent = {r.name: r.resource.value for r in response.resources}
        removed = set(response.removed_resources)
        assert sent == {name: content.get(name) for name in sent}
        assert not removed & content.keys()
        about = sent.keys() | removed
        due = {name for name in about if account.is_due(name, content)}
        assert due == about, "a superfluous resource"
        assert about or account.owes_answer, "a superfluous response"
        self._introduce(response.type_url, set(sent))
        for resource in response.resources:
            self._history[resource.version] = resource.resource.value
        account.settle(about, content)

    def check_settled(self, *, can_say_missing: bool) -> None:
        """Check that nothing is owed any more."""
        for type_url, account in self.accounts.items():
            content = self._content[type_url]
            wanted = {
                name
                for name in content.keys() | account.known | account.owed
                if account.interest.wants(name)
                and (name in content or can_say_missing or type_url in FULL)
            }
            late = {n for n in wanted if account.known.get(n) != content.get(n)}
            assert not late, f"the client does not know of {late}"
            assert not account.owed & wanted, f"no answer to {account.owed & wanted}"
            assert not account.needed & content.keys(), "no assignment for its cluster"
            assert not account.owes_answer

    def _account_for(self, type_url: str, nonce: str) -> Account:
        account = self.accounts[type_url]
        assert nonce
        assert nonce != account.nonce, "rule 4: a nonce of its own"
        assert not account.is_waiting, "one unanswered response at a time"
        account.nonce = nonce
        return account

    def _introduce(self, type_url: str, names: set[str]) -> None:
        """Say that clusters were sent: each needs its assignment again (rule 36)."""
        if type_url != CLUSTER:
            return
        endpoint = self.accounts[ENDPOINT]
        if endpoint.interest.has_begun:
            present = names & self._content[ENDPOINT].keys()
            endpoint.needed |= {n for n in present if endpoint.interest.wants(n)}
        else:
            self._introduced |= names
