"""Sets the version of the next release: ``version.py X.Y.Z``, from the root of the tree.

Of the package's version, only `rapidrtmp/__init__.py` knows. The others name the image, which no
build makes for them.
"""

import re
import sys
from pathlib import Path

PLACES = {
    "rapidrtmp/__init__.py": '(?<=__version__ = ")[^"]+',
    "deploy/helm/rapidrtmp/Chart.yaml": '(?<=appVersion: ")[^"]+',
    "deploy/kubernetes/base/deployment.yaml": r"(?<=image: rapidrtmp:)\S+",
    "docs/howto/deploy-kubernetes.md": r"(?<=example.com/rapidrtmp:)[^\s.]\S*|(?<=newTag: )\S+",
}
"""Files, and what in them is the version."""
_VERSION = re.compile(r"\d+\.\d+\.\d+(\.dev\d+)?")


def replaced(place: str, text: str, version: str) -> str:
    """Write another version into a file's text.

    Raises:
        ValueError: there is none in it.
    """
    text, count = re.subn(PLACES[place], version, text)
    if not count:
        raise ValueError(f"{place}: no version in it")
    return text


def main(version: str) -> None:
    """Write a version everywhere."""
    if not _VERSION.fullmatch(version):
        sys.exit(f"{version!r} is no version such as 1.2.3 or 1.2.3.dev0: make version V=1.2.3")
    for place in PLACES:
        path = Path(place)
        path.write_text(replaced(place, path.read_text(), version))
        print(f"{version} in {place}")


if __name__ == "__main__":
    main("".join(sys.argv[1:]))
