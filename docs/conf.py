"""How the documentation is built."""

import sys
from pathlib import Path

# for `docs.generate`, which writes parts of the pages
sys.path.insert(0, str(Path(__file__).parent.parent))

from rapidrtmp import __version__

project = "RapidRTMP"
author = "The RapidRTMP authors"
copyright = author
release = version = __version__
extensions = ["myst_parser", "docs.generate.fill"]
myst_heading_anchors = 3
exclude_patterns = ["_build", "examples", "generate"]
html_theme = "alabaster"
html_theme_options = {
    "description": "Live streaming: RTMP in, CMAF HLS out",
    "page_width": "72rem",
    "sidebar_width": "14rem",
    "fixed_sidebar": True,
}
