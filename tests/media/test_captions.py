"""Which caption services are found in cc_data()."""

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from rapidrtmp.media.captions import CaptionServices, captions_in, cc_data
from rapidrtmp.media.track import Sample
from tests.isobmff.fakes import AUDIO, CAPTIONS, VIDEO

RESUME, ROLL_UP, RESUME_TEXT = 0x20, 0x25, 0x2B


def parity(octet: int) -> int:
    """Return seven bits with odd parity."""
    return octet | (0 if octet.bit_count() & 1 else 0x80)


def line_21(field: int, first: int, second: int) -> bytes:
    """Return a triplet of CEA-608."""
    return bytes((0xFC | field, parity(first), parity(second)))


def control(name: str, code: int = RESUME) -> bytes:
    """Return a control code of a channel."""
    number = int(name[-1]) - 1
    return line_21(number >> 1, 0x14 | (number & 1) << 3 | number >> 1, code)


def packet(*blocks: tuple[int, bytes], sequence: int = 0) -> bytes:
    """Return the triplets of a DTVCC packet (CEA-708 section 5)."""
    body = b""
    for number, data in blocks:
        extended = bytes((number,)) if number > 6 else b""
        body += bytes((min(number, 7) << 5 | len(data),)) + extended + data
    body += bytes(1 + len(body) & 1)
    octets = bytes((sequence << 6 | (len(body) + 1) // 2,)) + body
    return b"".join(
        bytes((0xFF if not at else 0xFE,)) + octets[at : at + 2] for at in range(0, len(octets), 2)
    )


def user_data(triplets: bytes) -> bytes:
    """Return what T.35 user data holds."""
    head = bytes.fromhex("b5003147413934 03".replace(" ", ""))
    return head + bytes((0x40 | len(triplets) // 3, 0xFF)) + triplets + b"\xff"


def found(*triplets: bytes) -> tuple[str, ...]:
    """Return what is found in triplets that come twice."""
    services = CaptionServices()
    for _ in range(2):
        for one in triplets:
            services.feed(one)
    return services.names


class CaptionTests(SynchronousTestCase):
    def test_line_21(self) -> None:
        """A channel is there that has captions, in whatever style."""
        for name in ("CC1", "CC2", "CC3", "CC4"):
            for code in (RESUME, ROLL_UP, 0x29, 0x2F):
                self.assertEqual(found(control(name, code)), (name,))
        self.assertEqual(found(control("CC3"), control("CC1")), ("CC1", "CC3"))

    def test_line_21_without_captions(self) -> None:
        """Padding, characters, a text service, XDS and damaged bytes declare nothing."""
        for triplet in (
            line_21(0, 0, 0),
            line_21(0, 0x41, 0x42),
            control("CC1", RESUME_TEXT),
            line_21(1, 0x01, 0x05),
            bytes((0xFC, 0x14, RESUME)),  # even parity
            bytes((0xF8, *control("CC1")[1:])),  # not valid
        ):
            self.assertEqual(found(triplet), (), triplet.hex())

    def test_once(self) -> None:
        """What was seen a single time may be damage."""
        services = CaptionServices()
        services.feed(control("CC1"))
        self.assertEqual(services.names, ())

    def test_services(self) -> None:
        """CEA-708 services are found by the service blocks of whole packets."""
        self.assertEqual(found(packet((1, b"Hello"))), ("SERVICE1",))
        self.assertEqual(
            found(packet((2, b"x"), (6, b"yy"), (63, b"z")), control("CC1")),
            ("CC1", "SERVICE2", "SERVICE6", "SERVICE63"),
        )
        self.assertEqual(found(packet((7, b"x"))), ("SERVICE7",))
        broken = b"\xff\x02\xe1\xfe\x03\x41", b"\xff\x02\x3f\xfe\x03\x41", b"\xff\x01\xe1"
        for nothing in (packet(), packet((0, b"")), packet((1, b"")), *broken):
            self.assertEqual(found(nothing), (), nothing.hex())

    def test_over_several_pictures(self) -> None:
        """A packet goes on in the next picture; one that lost its start is left."""
        whole = packet((3, b"0123456789"))
        self.assertEqual(found(whole[:3], whole[3:9], whole[9:]), ("SERVICE3",))
        self.assertEqual(found(whole[3:]), ())
        self.assertEqual(found(whole[:3], packet((1, b"x"))), ("SERVICE1",))

    def test_order_of_presentation(self) -> None:
        """Samples are looked at in the order in which they are shown; audio not at all."""
        whole = packet((1, b"01234567"))
        services = CaptionServices()
        for start in (0, 9000):
            samples = [
                Sample(VIDEO, start, 9000, False, False, CAPTIONS + whole[6:]),
                Sample(VIDEO, start + 3000, 0, False, False, CAPTIONS + whole[:6]),
                Sample(VIDEO, start + 6000, 9000, False, False, b"none"),
            ]
            services.look(samples)
        services.look([Sample(AUDIO, 0, 0, True, True, CAPTIONS + control("CC1") * 2)])
        self.assertEqual(services.names, ("SERVICE1",))
        other = CaptionServices()
        other.feed(control("CC2") * 2 + packet((10, b"x")) * 2)
        self.assertEqual(captions_in([services, other]), ["CC2", "SERVICE1", "SERVICE10"])

    def test_user_data(self) -> None:
        """Only cc_data() of ATSC is taken, and as much as it says."""
        triplets = control("CC1") + packet((1, b"x"))
        self.assertEqual(cc_data(user_data(triplets)), triplets)
        self.assertEqual(cc_data(user_data(triplets)[:13]), triplets[:3])
        for other in (b"", b"\xb5\x00\x31GA94\x06\x41", user_data(b"")[:9], b"\xb5\x00\x2fDTG1"):
            self.assertEqual(cc_data(other), b"")
        unprocessed = bytearray(user_data(triplets))
        unprocessed[8] &= 0x1F
        self.assertEqual(cc_data(bytes(unprocessed)), b"")

    @given(st.lists(st.binary(max_size=120), max_size=8))
    def test_arbitrary(self, pieces: list[bytes]) -> None:
        """Whatever comes, nothing is raised, and names are those of services."""
        services = CaptionServices()
        for piece in pieces:
            services.feed(piece)
            services.feed(packet((1, piece[:30])))
        names = {f"SERVICE{number}" for number in range(1, 64)} | {"CC1", "CC2", "CC3", "CC4"}
        self.assertLessEqual(set(services.names), names)
