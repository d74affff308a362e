"""Tests of acknowledgements."""

from twisted.trial.unittest import SynchronousTestCase

from rapidrtmp.rtmp.window import DEFAULT_WINDOW, RESTART, AcknowledgementWindow


class WindowTests(SynchronousTestCase):
    def test_half_a_window(self) -> None:
        """An acknowledgement is due at half the window, with all bytes so far."""
        window = AcknowledgementWindow()
        self.assertIsNone(window.receive(DEFAULT_WINDOW // 2 - 1))
        self.assertEqual(window.receive(1), DEFAULT_WINDOW // 2)
        self.assertIsNone(window.receive(1))
        self.assertEqual(window.receive(DEFAULT_WINDOW), DEFAULT_WINDOW * 3 // 2 + 1)

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
        numbers = [window.receive(1 << 28) for _ in range(17)]
        self.assertEqual(numbers[:15], [(i + 1) << 28 for i in range(15)])
        self.assertEqual(numbers[14], RESTART)
        self.assertEqual(numbers[15:], [1 << 28, 2 << 28])
