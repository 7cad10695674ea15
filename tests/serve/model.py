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
    """What a client wants and holds of one type."""

    interest: Interest
    held: Content = field(default_factory=dict)
    versions: dict[str, str] = field(default_factory=dict)
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
            return
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
            return
        self.held |= bodies
        self.versions |= {r.name: r.version for r in response.resources}
        self.held = {n: c for n, c in self.held.items() if n not in removed}
        self.drop_unwanted()


@dataclass(kw_only=True)
class Account:
    """What the server owes the client of one type on one stream.

    `known` is the content that the client was sent or claimed, None where it was told
    that there is none; `touched` was published since then; `owed` was asked for;
    `needed` is an assignment whose cluster was sent. `about` is what the last response
    brought news of; `suspect` was rejected together with others, `bad` by itself.
    `may_repeat`: one full state without news is fair after a rejection, since a removal
    that was rejected with it may be meant.
    """

    interest: Interest
    known: dict[str, bytes | None] = field(default_factory=dict)
    touched: set[str] = field(default_factory=set)
    owed: set[str] = field(default_factory=set)
    needed: set[str] = field(default_factory=set)
    about: set[str] = field(default_factory=set)
    suspect: set[str] = field(default_factory=set)
    bad: set[str] = field(default_factory=set)
    owes_answer: bool = False
    is_waiting: bool = False
    is_unanswered: bool = False
    may_repeat: bool = False
    nonce: str = ""

    def is_due(self, name: str, content: Content) -> bool:
        """May the server say something about *name* now?"""
        if not self.interest.wants(name):
            return False
        promised = self.owed | self.touched | self.needed | self.suspect
        return name in promised or self.known.get(name) != content.get(name)

    def hear_answer(self, nonce: str, *, is_error: bool) -> None:
        """Take in what a request says of the last response."""
        if not self.nonce or nonce != self.nonce:
            return
        if is_error and self.is_unanswered:
            found = self.bad if len(self.about) == 1 else self.suspect
            found |= self.about - self.touched
            self.may_repeat = True
        self.is_waiting = self.is_unanswered = False

    def settle(self, names: set[str], content: Content) -> None:
        """Say that the client was sent what there is of *names*."""
        self.touched -= names
        self.owed -= names
        self.needed -= names
        self.suspect -= names
        self.bad -= names
        self.about = names
        self.known.update({name: content.get(name) for name in names})
        self.owes_answer = False
        self.is_waiting = self.is_unanswered = True

    def forget_unwanted(self) -> None:
        wants = self.interest.wants
        self.known = {n: c for n, c in self.known.items() if wants(n)}
        self.owed = {n for n in self.owed if wants(n)}
        self.needed = {n for n in self.needed if wants(n)}
        self.suspect = {n for n in self.suspect if wants(n)}
        self.bad = {n for n in self.bad if wants(n)}


class Auditor:
    """Stands beside the server: checks what leaves against what came before.

    *content* is what is published, by type, and *replaced* what each name was before
    its last change; *history* says what content a version was.
    """

    def __init__(
        self,
        content: dict[str, Content],
        replaced: dict[str, dict[str, bytes | None]],
        history: dict[str, bytes],
    ) -> None:
        self._content = content
        self._replaced = replaced
        self._history = history
        self._introduced: set[str] = set()
        self.accounts = {
            type_url: Account(interest=Interest(type_url=type_url))
            for type_url in content
        }

    def hear_change(self, type_url: str, names: set[str]) -> None:
        """Hear that the resources called *names* were published."""
        account = self.accounts[type_url]
        account.touched |= names
        account.suspect -= names

    def hear_sotw(self, request: DiscoveryRequest) -> None:
        """Hear a request that reaches the server."""
        account = self.accounts[request.type_url]
        nonce = request.response_nonce
        if nonce and account.nonce and nonce != account.nonce:
            return  # rule 5
        account.hear_answer(nonce, is_error=request.HasField("error_detail"))
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
        account.hear_answer(
            request.response_nonce, is_error=request.HasField("error_detail")
        )
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
            self._check_full_state(account, sent, content)
            about = {
                n for n in content.keys() | account.known if account.interest.wants(n)
            }
            about |= account.touched | account.owed | account.suspect
            about = {n for n in about if sent.get(n) == content.get(n)}
        else:
            assert sent == {name: content.get(name) for name in sent}
            about = set(sent)
        due = {name for name in about if account.is_due(name, content)}
        if response.type_url in FULL:
            is_fair = due or account.owes_answer or account.may_repeat
            assert is_fair, "a superfluous response"
            account.may_repeat = False
            held = {n for n, c in account.known.items() if c is not None}
            news = due & (sent.keys() | held)
            about = due
        else:
            assert due == about != set(), "a superfluous resource"
            news = due
        self._introduce(response.type_url, due & sent.keys())
        account.settle(about, content)
        account.about = news

    def _check_full_state(
        self, account: Account, sent: Content, content: Content
    ) -> None:
        """Check that all is there, and of what was rejected what it was before."""
        replaced = self._replaced[account.interest.type_url]
        for name in sent.keys() - content.keys():  # held back, for who refers to it
            assert account.interest.type_url == CLUSTER
            assert account.known.get(name) is not None
            assert sent[name] == replaced.get(name)
        for name in filter(account.interest.wants, content):
            if sent.get(name) != content[name]:
                assert name in (account.bad | account.suspect) - account.touched
                assert sent.get(name) == replaced.get(name)

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
            assert not account.suspect & wanted, "the good is held hostage"

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
