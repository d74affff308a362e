"""How the judges of playlists speak."""


class CheckError(AssertionError):
    """The playlist breaks a rule."""


def require(condition: object, message: str) -> None:
    """Raise CheckError with `message` unless `condition` holds."""
    if not condition:
        raise CheckError(message)
