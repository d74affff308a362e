"""Tests of acknowledgements."""

from twisted.trial.unittest import SynchronousTestCase

from rapidrtmp.rtmp.window import RESTART, AcknowledgementWindow


class WindowTests(SynchronousTestCase):
    def test_no_window(self) -> None:
        """A peer that names no window gets no acknowledgement; the bytes count all the same."""
        window = AcknowledgementWindow()
        self.assertIsNone(window.receive(10_000_000))
        window.resize(200_000)
        self.assertEqual(window.receive(1), 10_000_001)

    def test_half_a_window(self) -> None:
        """An acknowledgement is due at half the window, with all bytes so far."""
        window = AcknowledgementWindow()
        window.resize(2_500_000)
        self.assertIsNone(window.receive(1_249_999))
        self.assertEqual(window.receive(1), 1_250_000)
        self.assertIsNone(window.receive(1))
        self.assertEqual(window.receive(2_500_000), 3_750_001)

    def test_any_window(self) -> None:
        """Windows of 0 and 1 do not mean an acknowledgement a byte; huge ones are no harm."""
        for size in (0, 1, 100_000):
            with self.subTest(size=size):
                window = AcknowledgementWindow()
                window.resize(size)
                self.assertIsNone(window.receive(65_535))
                self.assertEqual(window.receive(1), 65_536)
        window = AcknowledgementWindow()
        window.resize(2**31)
        self.assertIsNone(window.receive(2**30 - 1))
        self.assertEqual(window.receive(1), 2**30)

    def test_restart(self) -> None:
        """The sequence number starts anew before it could wrap."""
        window = AcknowledgementWindow()
        window.resize(2_500_000)
        numbers = [window.receive(1 << 28) for _ in range(17)]
        self.assertEqual(numbers[:15], [(i + 1) << 28 for i in range(15)])
        self.assertEqual(numbers[14], RESTART)
        self.assertEqual(numbers[15:], [1 << 28, 2 << 28])
