"""Takes secrets out of text: the last defence of logs and error messages."""

import re

_STARS = "***"
# The ends of names: 'access_token' is found by 'token'. Nothing here makes the search go back
# over a long text, whoever wrote it.
_NAMES = (
    "(?:token|password|passwd|pass|secret|signature|credentials?"
    "|api[_-]?key|access[_-]?key|auth[_-]?key)"
)
_PATTERNS = [
    # token=..., &x-goog-signature=..., also where the URL is percent-encoded as a whole
    re.compile(rf"(?i)(?P<left>{_NAMES}(?:=|%3D))[^\s&;,'\"<>)\]}}]+"),
    re.compile(r"(?i)(?P<left>[?&](?:key|sig|auth)=)[^\s&;,'\"<>)\]}]+"),
    # 'token': 'x', "token": "x", b'token': [b'x']
    re.compile(rf"(?i)(?P<left>{_NAMES}['\"]\s?[:,]\s?[\[(]?b?)(?:'[^']*'|\"[^\"]*\")"),
    re.compile(r"(?i)(?P<left>authorization['\"]?\s?[:,=]\s?[\[(]?b?['\"]?)[^\r\n'\"]+"),
    re.compile(r"(?i)(?P<left>bearer\s)[A-Za-z0-9._~+/=-]{8,}"),
    re.compile(r"(?P<left>://[^\s/?#:@]*:)[^\s/?#@]+(?=@)"),
    # <life>.<session>.<expires>.<signature> of a protected playlist
    re.compile(r"(?P<left>\.[0-9]{9,11}\.)[A-Za-z0-9_-]{16,}"),
    # A publish token, or a hash of one
    re.compile(r"(?P<left>)(?<![0-9A-Fa-f])[0-9A-Fa-f]{64}(?![0-9A-Fa-f])"),
]


def redact(text: str) -> str:
    """Replace whatever looks like a token, a password, a key or a signature by ``***``."""
    for pattern in _PATTERNS:
        text = pattern.sub(rf"\g<left>{_STARS}", text)
    return text
