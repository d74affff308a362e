"""How the documentation is built."""

from rapidrtmp import __version__

project = "RapidRTMP"
author = "The RapidRTMP authors"
copyright = author
release = version = __version__
extensions = ["myst_parser"]
myst_heading_anchors = 3
exclude_patterns = ["_build"]
html_theme = "alabaster"
html_theme_options = {
    "description": "Live streaming: RTMP in, CMAF HLS out",
    "page_width": "72rem",
    "sidebar_width": "14rem",
    "fixed_sidebar": True,
}
