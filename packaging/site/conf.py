"""How `make docs` builds the site: Markdown as it lies here, by MyST, in the theme Furo."""

from importlib.metadata import version as _version

project = "cutoutd"
author = "the authors of cutoutd"
release = version = _version("cutoutd")

extensions = ["myst_parser"]
myst_enable_extensions = ["deflist"]
myst_heading_anchors = 4  # links to headings work as they do where the repository is read
exclude_patterns = ["_build"]
nitpicky = True  # a link that leads nowhere is an error

html_theme = "furo"
html_title = "cutoutd"
html_theme_options: dict[str, list[str]] = {
    # No fonts, scripts or counters from elsewhere: the site can be read offline.
    "footer_icons": [],
}
