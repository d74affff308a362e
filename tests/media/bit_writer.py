"""The opposite of `media.bits`, for tests alone."""


class BitWriter:
    """Writes big-endian bit fields and Exp-Golomb codes."""

    def __init__(self) -> None:
        self.bits = ""

    def put(self, value: int, count: int) -> "BitWriter":
        """Append `value` in `count` bits."""
        if value >> count:
            raise ValueError(f"{value} does not fit {count} bits")
        if count:
            self.bits += f"{value:0{count}b}"
        return self

    def ue(self, *values: int) -> "BitWriter":
        """Append unsigned Exp-Golomb codes."""
        for value in values:
            self.bits += "0" * ((value + 1).bit_length() - 1) + f"{value + 1:b}"
        return self

    def se(self, *values: int) -> "BitWriter":
        """Append signed Exp-Golomb codes."""
        return self.ue(*(2 * value - 1 if value > 0 else -2 * value for value in values))

    def align(self) -> "BitWriter":
        """Append zeros up to the next byte."""
        self.bits += "0" * (-len(self.bits) % 8)
        return self

    def octets(self) -> bytes:
        """Return what was written, filled up with zeros."""
        padded = self.bits + "0" * (-len(self.bits) % 8)
        return bytes(int(padded[i : i + 8], 2) for i in range(0, len(padded), 8))
