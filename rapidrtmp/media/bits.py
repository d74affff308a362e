"""Bit reader with Exp-Golomb codes (ITU-T H.264 sections 7.2 and 9.1)."""

MAX_LEADING_ZEROS = 32
"""Of one Exp-Golomb code. No syntax element needs more than 32 bits (H.264 section 7.4),
and a damaged or hostile run of zeros ends here."""


class BitstreamError(ValueError):
    """The bits end too early or hold an impossible code."""


class BitReader:
    """Reads big-endian bit fields from bytes."""

    __slots__ = ("_bits", "_octets", "position")

    def __init__(self, octets: bytes) -> None:
        """Make a reader at the first bit of `octets`."""
        self._octets = octets
        self._bits = 8 * len(octets)
        self.position = 0
        """Bits read so far."""

    @property
    def bits_left(self) -> int:
        """Number of bits not read yet."""
        return self._bits - self.position

    def read(self, count: int) -> int:
        """Return the next `count` bits as an unsigned number.

        Raises:
            BitstreamError: fewer bits are left; none is consumed.
        """
        start = self.position
        end = start + count
        if end > self._bits:
            raise BitstreamError(f"{count} bits wanted, {self._bits - start} left")
        self.position = end
        value = int.from_bytes(self._octets[start >> 3 : (end + 7) >> 3], "big")
        return value >> (-end & 7) & (1 << count) - 1

    def flag(self) -> bool:
        """Return the next bit.

        Raises:
            BitstreamError: none is left.
        """
        return bool(self.read(1))

    def skip(self, count: int) -> None:
        """Pass over `count` bits.

        Raises:
            BitstreamError: fewer bits are left; none is consumed.
        """
        if count > self.bits_left:
            raise BitstreamError(f"{count} bits wanted, {self.bits_left} left")
        self.position += count

    def align(self) -> None:
        """Pass over the rest of a byte that was begun."""
        self.position = (self.position + 7) & ~7

    def ue(self) -> int:
        """Return the next unsigned Exp-Golomb code.

        Raises:
            BitstreamError: the code is longer than 32 leading zeros, or the bits end inside it.
        """
        zeros = 0
        while not self.read(1):
            zeros += 1
            if zeros > MAX_LEADING_ZEROS:
                raise BitstreamError(f"Exp-Golomb code of more than {MAX_LEADING_ZEROS} zeros")
        return (1 << zeros) - 1 + self.read(zeros)

    def se(self) -> int:
        """Return the next signed Exp-Golomb code.

        Raises:
            BitstreamError: as for `ue`.
        """
        code = self.ue()
        return (code + 1) // 2 if code & 1 else -(code // 2)
