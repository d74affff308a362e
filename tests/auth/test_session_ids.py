"""Tests of rapidrtmp.auth.session_ids."""

import json
import re
from dataclasses import dataclass
from unittest import mock

from twisted.internet.defer import Deferred, fail
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from rapidrtmp.auth.session_ids import SESSIONS_PATH, SessionSigner
from rapidrtmp.auth.stored_secret import SECRET_BYTES
from rapidrtmp.state import StateError
from rapidrtmp.storage.memory import MemoryStorage

LIFE = "0123456789abcdef"
SESSION = "5" * 16


@dataclass(frozen=True, slots=True)
class Place:
    """What a session is for."""

    key: str = "k"
    life: str = LIFE
    session_id: str = SESSION

    def signed(self, signer: SessionSigner) -> str:
        """Give its signature."""
        return signer.sign(self.key, self.life, self.session_id)

    def is_good(self, signer: SessionSigner, signature: str) -> bool:
        """Have a signature verified."""
        return signer.verify(self.key, self.life, self.session_id, signature)


class SessionSignerTests(SynchronousTestCase):
    def setUp(self) -> None:
        """Make a storage and a signer on it."""
        self.storage = MemoryStorage(Clock())
        self.signer = self.load()

    def load(self) -> SessionSigner:
        """Start, as a server does."""
        signer = SessionSigner(self.storage)
        self.successResultOf(signer.load())
        return signer

    def test_verify(self) -> None:
        """A signature is good for its stream, life and session, and for nothing else."""
        signature = Place().signed(self.signer)
        self.assertRegex(signature, "^[0-9a-f]{16}$")
        self.assertTrue(Place().is_good(self.signer, signature))
        others = (
            Place(key="other"),
            Place(life=LIFE[::-1]),
            Place(session_id="6" * 16),
            Place(key="", life=f"k\n{LIFE}"),
        )
        for other in others:
            self.assertFalse(other.is_good(self.signer, signature), other)
        for wrong in ("", signature[:-1], signature.upper(), f"{signature}0", "\u00e9", "\udcff"):
            self.assertFalse(Place().is_good(self.signer, wrong), wrong)

    def test_restart(self) -> None:
        """What was signed before a restart is good after it."""
        signature = Place().signed(self.signer)
        self.assertTrue(Place().is_good(self.load(), signature))

    def test_another_server(self) -> None:
        """Each server has a secret of its own."""
        signature = Place().signed(self.signer)
        self.storage = MemoryStorage(Clock())
        self.assertFalse(Place().is_good(self.load(), signature))

    def test_stored(self) -> None:
        """The secret is stored whole, and once."""
        body = self.successResultOf(self.storage.get(SESSIONS_PATH))
        secret = json.loads(body)["state"]["secret"]
        self.assertIsNotNone(re.fullmatch(f"[0-9a-f]{{{2 * SECRET_BYTES}}}", secret))
        self.load()
        self.assertEqual(self.successResultOf(self.storage.get(SESSIONS_PATH)), body)

    def test_broken(self) -> None:
        """A file that holds no secret ends the start; it is left as it is."""
        states: list[object] = [{}, {"secret": None}, {"secret": "zz" * 32}, {"secret": ""}, []]
        for state in states:
            body = json.dumps({"schema": 1, "state": state}).encode()
            self.successResultOf(self.storage.put(SESSIONS_PATH, (body,), "", ""))
            loading: Deferred[None] = SessionSigner(self.storage).load()
            error = self.failureResultOf(loading, StateError).value
            self.assertIn(SESSIONS_PATH, str(error))
            self.assertEqual(self.successResultOf(self.storage.get(SESSIONS_PATH)), body)

    def test_not_stored(self) -> None:
        """A secret that cannot be stored ends the start: sessions would not outlive the next."""
        self.storage = MemoryStorage(Clock())
        with mock.patch.object(self.storage, "put", return_value=fail(OSError("disk full"))):
            self.failureResultOf(SessionSigner(self.storage).load(), OSError)
