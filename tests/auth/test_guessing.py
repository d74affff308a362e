"""Nothing can be learned about a secret by guessing: not by time, not by words, not by luck."""

import ast
import hmac
import random
import re
from collections.abc import Callable
from pathlib import Path
from unittest import mock

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from rapidrtmp.auth.api_keys import APIKeys
from rapidrtmp.auth.playback import PlaybackSigner
from rapidrtmp.auth.session_ids import SessionSigner
from rapidrtmp.auth.stored_secret import StoredSecret
from rapidrtmp.auth.tokens import TokenStore, token_secret
from rapidrtmp.interfaces import AccessDenied, AccessRequest
from rapidrtmp.storage.memory import MemoryStorage
from tests.web.api_case import KEYS
from tests.whole import WholeCase

ROOT = Path(__file__).parents[2] / "rapidrtmp"
SECRET = re.compile(r"\b\w*(?:token|signature|secret|digest|password|proof|bearer|hash)\b")
PUBLIC = {
    # by what was found in constant time before, or by what the server itself tells
    'record["hash"] != token.identity',
    'record["hash"] == identity',
    "token.id == token_id",
    # the keys of the handshake's digest are known to everybody
    "digest == _hmac(key, message[:start] + message[start + _DIGEST_SIZE:])",
    "scheme.lower() == 'bearer'",
}
"""Comparisons that stop at the first difference, of what is no secret."""


def stops_early(path: Path) -> set[str]:
    """Give the comparisons of a module by == and != that name a secret."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Compare) and isinstance(node.ops[0], ast.Eq | ast.NotEq):
            text = ast.unparse(node).replace("['", '["').replace("']", '"]')
            if SECRET.search(text) and not re.search(r"\blen\(", text):
                found.add(text)
    return found


class ConstantTimeTests(SynchronousTestCase):
    def setUp(self) -> None:
        """Make one of each that knows secrets."""
        self.clock = Clock()
        self.clock.advance(1_790_000_000)
        self.storage = MemoryStorage(self.clock)
        self.tokens = TokenStore(self.storage, self.clock, 3600.0, 86400.0, 60.0)
        self.successResultOf(self.tokens.load())

    def compared(self, work: Callable[[], object]) -> int:
        """Count the bytes that are compared, each time whole."""
        compare = hmac.compare_digest
        with mock.patch("hmac.compare_digest", side_effect=compare) as compared:
            work()
        return sum(len(call.args[0]) for call in compared.call_args_list)

    def test_no_early_end(self) -> None:
        """No secret is compared by ==, in any room that meets one."""
        seen = set()
        for room in ("auth", "web", "hooks", "rtmp", "protocol", "relay"):
            for path in (ROOT / room).rglob("*.py"):
                seen |= stops_early(path)
        self.assertEqual(seen - PUBLIC, set())

    def test_it_can_fail(self) -> None:
        """Such a comparison is found."""
        path = Path(self.mktemp())
        path.write_text("if given_signature == expected:\n    pass\nlen(token) == 64\n")
        self.assertEqual(stops_early(path), {"given_signature == expected"})

    def test_tokens(self) -> None:
        """A right token, a nearly right one and nonsense are compared with all of the key."""
        values = [self.successResultOf(self.tokens.issue("key")).value for _ in range(5)]

        def work(token: str) -> int:
            request = AccessRequest("publish", "key", "live", "", "s", {"token": token}, "")
            return self.compared(lambda: self.tokens.identify(request))

        tried = [values[0], values[-1], values[0][:-1] + "g", "x", "y" * 1000]
        self.assertEqual({work(token) for token in tried}, {5 * 64})

    def test_api_keys(self) -> None:
        """So do API keys, whichever of them is meant."""
        keys = APIKeys(KEYS)
        tried = [*(key.value for key in KEYS), KEYS[0].value[:-1], "x", "y" * 1000]
        self.assertEqual(len({self.compared(lambda k=key: keys.find(k)) for key in tried}), 1)  # type: ignore[misc]  # bound now

    def test_signatures(self) -> None:
        """So do signatures, by any of the secrets that are in force."""
        signer = PlaybackSigner([b"new-secret", b"old-secret"], self.clock)
        good = signer.sign("key", 1_800_000_000)
        sessions = SessionSigner(self.storage)
        proof = sessions.sign("key", "life", "session")
        for right, verify in (
            (good, lambda text: signer.verify("key", "1800000000", text)),
            (proof, lambda text: sessions.verify("key", "life", "session", text)),
        ):
            self.assertTrue(verify(right))
            costs = set()
            for text in (right, right[:-1] + "g", "g" + right[1:], "", "x" * 1000):
                costs.add(self.compared(lambda t=text, v=verify: v(t)))  # type: ignore[misc]  # likewise
            self.assertEqual(len(costs), 1)


class ChanceTests(SynchronousTestCase):
    def draw(self) -> list[str]:
        """Draw one of each secret, as a server does."""
        clock = Clock()
        storage = MemoryStorage(clock)
        plain, derived = (TokenStore(storage, clock, 60.0, 60.0, 60.0) for _ in range(2))
        derived.secret = token_secret(storage)
        drawn = [self.successResultOf(store.issue("key")).value for store in (plain, derived)]
        return [*drawn, StoredSecret(storage, "secret.json", "").value.hex()]

    def test_not_by_a_seed(self) -> None:
        """They do not come from the generator that can be foretold."""
        state = random.getstate()
        self.addCleanup(random.setstate, state)
        drawn = []
        for _ in range(3):
            random.seed(1)
            drawn += self.draw()
        self.assertEqual(len(set(drawn)), len(drawn))
        for value in drawn:
            self.assertRegex(value, r"\A[0-9a-f]{64}\Z")

    def test_evenly(self) -> None:
        """Every bit of a token is drawn: of 400 each is set in about half (six sigma)."""
        clock = Clock()
        store = TokenStore(MemoryStorage(clock), clock, 60.0, 60.0, 60.0)
        values = [int(self.successResultOf(store.issue("key")).value, 16) for _ in range(400)]
        for bit in range(256):
            count = sum(value >> bit & 1 for value in values)
            self.assertTrue(140 <= count <= 260, f"bit {bit}: {count}")


class WordTests(WholeCase):
    """A whole server gives guessers nothing to go by."""

    def test_one_text(self) -> None:
        """Wrong, expired, another key's token, for a key that is live or unknown: one answer."""
        self.live()
        other = self.mint("other")
        answers = set()
        for number, name in enumerate(
            (f"key?token={'0' * 64}", f"key?token={other}", f"none?token={'0' * 64}", "key?token=x")
        ):
            peer = self.publish(name, host=f"192.0.2.{number + 10}")
            self.assertTrue(peer.is_closed)
            answers.add(peer.messages[-1].payload)
        self.assertEqual(len(answers), 1)

    def test_rates(self) -> None:
        """After ten wrong tokens an address is barred for a minute, and no other; so are keys."""
        for _ in range(10):
            self.assertTrue(self.publish("key?token=x", host="198.51.100.1").is_closed)
        token = self.mint()
        barred = self.publish(f"key?token={token}", host="198.51.100.1")
        self.assertEqual((barred.is_closed, barred.codes), (True, []))
        self.assertEqual(self.publish(f"key?token={token}").codes, ["NetStream.Publish.Start"])
        self.reactor.pump([1.0] * 61)
        again = self.publish(f"key?token={token}", host="198.51.100.1")
        self.assertEqual(again.codes, ["NetStream.Publish.Start"])
        self.start(api_keys=KEYS)
        codes = [
            self.ask("/api/v1/streams", "GET", ("Authorization", f"Bearer wrong-{number}")).code
            for number in range(12)
        ]
        self.assertEqual(codes, [401] * 10 + [429] * 2)


class FailureTests(SynchronousTestCase):
    def test_nothing_is_told(self) -> None:
        """A refusal and a token do not hold the secret in what can be shown of them."""
        clock = Clock()
        store = TokenStore(MemoryStorage(clock), clock, 60.0, 60.0, 60.0)
        token = self.successResultOf(store.issue("key"))
        self.assertNotIn(token.value, repr(token))
        wrong = AccessRequest("publish", "key", "live", "", "s", {"token": "guessed-token"}, "")
        self.assertNotIn("guessed-token", repr(wrong))
        refused = self.failureResultOf(store.authorize(wrong), AccessDenied)
        self.assertNotIn("guessed-token", refused.getTraceback())
