"""How Sphinx builds the documentation: `make docs` writes build/docs and the manual page."""

from __future__ import annotations

import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

from tifbpf import __version__  # noqa: E402

project = "tifbpf"
release = version = __version__
copyright = "its authors, GPL-2.0-only"  # noqa: A001
# The manual page names the version; a date would make it another one every day.
today = " "

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
source_suffix = {".md": "markdown"}
myst_enable_extensions = ["deflist"]
# As GitHub makes them.
myst_heading_anchors = 4
autodoc_member_order = "bysource"
autodoc_typehints = "signature"
autodoc_preserve_defaults = True

html_theme = "alabaster"
html_theme_options = {"description": "Which TIF bits send exits down the slowpath", "page_width": "1100px"}
html_show_sphinx = False

man_pages = [("man", "tifbpf", "which TIF bits send exits to user space down the slowpath", "", 1)]
man_show_urls = True
