"""What a target raises."""


class Broken(AssertionError):
    """Something that must hold for any input does not."""


def check(holds: bool, what: str) -> None:
    """Raise `Broken` unless it holds."""
    if not holds:
        raise Broken(what)
