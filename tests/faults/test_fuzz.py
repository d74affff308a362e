"""A44: the fuzzer's targets on sound input, on damaged input, and on what it once found."""

import random
from collections.abc import Iterator
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from fuzz import stored
from fuzz.broken import Broken, check
from fuzz.seeds import SEEDS, publications
from fuzz.targets import TARGETS
from rapidrtmp.codecs.registry import REGISTRY
from rapidrtmp.flv.demuxer import Demuxer

ROUNDS = 60
"""Damaged inputs of each sound one; `make fuzz` tries millions."""

FOUND: list[tuple[str, str]] = [
    ("url", "0a72746d703a2f2f683a2f2f686f73742f6c69763f746f6b652d8f652b01000000"),
    # AMF3 inside AMF0: octets, which AMF0 cannot write
    ("amf", "110c0b2f060031ff"),
    # AMF3 traits with a member of an empty name, which cannot be written either
    (
        "amf",
        "060f636f6e6e656374053ff00000000000000a0b010361053ff00000000000000362090701010306"
        "51787878787878787878787878787878787878787878787878787878787878787878787878787878"
        "7803630a010364090103360603650101010a3b0101010a010000000000000409070101030a06080a000a09010c060e010101",
    ),
    # a track twice in a message: a sample of a configuration that was over already
    (
        "demuxer",
        "010000229611767030380000000a1002009d012aa0005a000000000a1002009d012a40015a00",
    ),
]
"""Target and input in hexadecimal of what the fuzzer has stopped at."""


def damaged(octets: bytes, source: random.Random) -> Iterator[bytes]:
    """Yield inputs that are a few changes away."""
    for _ in range(ROUNDS):
        changed = bytearray(octets)
        for _ in range(source.randrange(1, 4)):
            position = source.randrange(len(changed) + 1)
            kind = source.randrange(4)
            if kind == 0:
                del changed[position : position + source.randrange(1, 20)]
            elif kind == 1:
                changed[position:position] = source.randbytes(source.randrange(1, 5))
            elif kind == 2:
                changed[position : position + 4] = source.choice(
                    (bytes(4), b"\xff" * 4, b"\x7f\xff\xff\xff", b"\0\0\0\1")
                )
            elif changed:
                changed[position % len(changed)] ^= 1 << source.randrange(8)
        yield bytes(changed)


class FuzzTests(SynchronousTestCase):
    def test_corpus(self) -> None:
        """Every target has sound input, and takes it."""
        self.assertEqual(set(SEEDS), set(TARGETS))
        for name, make in SEEDS.items():
            for octets in make():
                with self.subTest(name):
                    TARGETS[name](octets)

    def test_stored(self) -> None:
        """What the repository keeps of the fuzzer's inputs, which is little, breaks nothing."""
        self.assertEqual({path.stem for path in stored.CORPUS.iterdir()}, set(TARGETS))
        self.assertLess(sum(path.stat().st_size for path in stored.CORPUS.iterdir()), 100_000)
        for name, target in TARGETS.items():
            for octets in stored.read(name):
                with self.subTest(target=name, input=octets.hex()):
                    target(octets)

    def test_choice(self) -> None:
        """What is kept reaches lines that the seeds and what else is kept do not."""

        def target(octets: bytes) -> int:
            count = 0
            if b"a" in octets:
                count += 1
            if b"b" in octets:
                count += 1
            if octets.startswith(b"c"):
                count += 1
            return count

        inputs = [b"", b"a", b"xb", b"xxb", b"x", b"caa", b"ab" * stored.MAX_INPUT]
        self.assertEqual(stored.choose(target, [b"a"], inputs, __file__), [b"xb", b"caa"])
        self.assertEqual(stored.choose(target, inputs, inputs, __file__), [])
        self.patch(stored, "MAX_TARGET", 2)
        self.assertEqual(stored.choose(target, [], inputs, __file__), [b"a"])

    def test_files(self) -> None:
        """The files are read as they are written."""
        self.patch(stored, "CORPUS", Path(self.mktemp()))
        self.assertEqual(stored.read("amf"), [])
        stored.write("amf", [b"\0", b"\xff" * 9])
        self.assertEqual(stored.read("amf"), [b"\0", b"\xff" * 9])

    def test_damaged(self) -> None:
        """Sound input with a few changes breaks nothing."""
        source = random.Random(44)
        for name, make in SEEDS.items():
            for octets in make():
                for changed in damaged(octets, source):
                    with self.subTest(target=name, input=changed.hex()):
                        TARGETS[name](changed)

    @given(st.sampled_from(sorted(TARGETS)), st.binary(max_size=200))
    @settings(max_examples=400, deadline=None)
    def test_anything(self, name: str, octets: bytes) -> None:
        """Neither do bytes that were never sound."""
        TARGETS[name](octets)

    def test_found(self) -> None:
        """What stopped the fuzzer once does so no more."""
        for name, octets in FOUND:
            with self.subTest(name):
                TARGETS[name](bytes.fromhex(octets))

    def test_publications_have_samples(self) -> None:
        """The first inputs of the demuxer are what they are meant to be: all have frames."""
        for octets in publications():
            demuxer = Demuxer(REGISTRY)
            samples, position = 0, 0
            while position < len(octets):
                kind, length = octets[position], int.from_bytes(octets[position + 2 :][:2], "big")
                body = octets[position + 4 : position + 4 + length]
                samples += len(demuxer.receive((8, 9, 18)[kind], 0, body))
                position += 4 + length
            self.assertGreater(samples, 0, octets[:20])

    def test_targets_can_fail(self) -> None:
        """A check that does not hold is an error."""
        self.assertRaises(Broken, check, False, "what")
        check(True, "what")
