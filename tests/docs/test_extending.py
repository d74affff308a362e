"""Tests that the examples of docs/howto/extending.md do what the page says."""

import re
from typing import Any

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from rapidrtmp.interfaces import AccessDenied, AccessRequest, IStorage, NotFound
from tests.test_docs import DOCS


def blocks() -> dict[str, Any]:
    """Run the blocks of the page, and give what they define."""
    found: dict[str, Any] = {}
    page = (DOCS / "howto" / "extending.md").read_text()
    for block in re.findall(r"^```python\n(.*?)^```$", page, re.MULTILINE | re.DOTALL):
        exec(block, found)
    return found


class ExtendingTests(SynchronousTestCase):
    def test_storage(self) -> None:
        """The storage is one, and keeps what it is given."""
        shelf = blocks()["open_shelf"](None, Clock())
        self.assertTrue(verifyObject(IStorage, shelf))
        self.successResultOf(shelf.put("a/b", (b"one", b"two"), "text/plain", ""))
        self.successResultOf(shelf.put("ab", (b"three",), "text/plain", ""))
        self.assertEqual(self.successResultOf(shelf.get("a/b", 2, 5)), b"etw")
        listed = self.successResultOf(shelf.list("a"))
        self.assertEqual([(entry.path, entry.size) for entry in listed], [("a/b", 6)])
        self.assertEqual(len(self.successResultOf(shelf.list())), 2)
        self.successResultOf(shelf.delete("a/b"))
        self.assertFalse(self.successResultOf(shelf.exists("a/b")))
        self.failureResultOf(shelf.get("a/b"), NotFound)

    def test_auth(self) -> None:
        """Who has the secret of the key may publish, and nobody else."""
        hook = blocks()["Secrets"]({"show": "sesame"})

        def ask(key: str, **credentials: str) -> None:
            hook.on_publish(AccessRequest("publish", key, "live", "", "", credentials))

        ask("show", secret="sesame")
        for key, credentials in (
            ("show", {}),
            ("show", {"secret": "wrong"}),
            ("other", {"secret": ""}),
            ("other", {"secret": "sesame"}),
        ):
            self.assertRaises(AccessDenied, ask, key, **credentials)
