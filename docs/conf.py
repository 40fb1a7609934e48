"""Configuration of the site: `make docs` builds it, and warnings are errors.

The source that Sphinx reads is a staged one, which `python -m extension` (in this
folder) writes: these pages, the notebooks, and the pages that are made from the package
itself. Nothing is fetched, neither while the site is built nor while it is read.
"""

import importlib.metadata
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

project = "capsjax"
author = "the authors of capsjax"
release = importlib.metadata.version("capsjax")
version = release

extensions = [
    "myst_nb",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "extension",
]
nitpicky = False
keep_warnings = True
default_role = "code"

# Markdown: docs/*.md are read on GitHub and by doctest, too.
myst_enable_extensions = ["dollarmath", "deflist", "attrs_inline"]
myst_heading_anchors = 3

# Notebooks are shown as they are found: `make notebooks` executes them. A widget has a
# picture for where it does not run, and such is here.
nb_execution_mode = "off"
nb_ipywidgets_js = {}
nb_merge_streams = True
nb_mime_priority_overrides = [
    ("html", "application/vnd.jupyter.widget-view+json", None),
    ("html", "image/svg+xml", 1),
]

# Docstrings are of Google's style, their text Markdown: `extension.docstrings`.
napoleon_numpy_docstring = False
napoleon_use_rtype = False
napoleon_use_ivar = True
napoleon_custom_sections = ["Shapes", "Laws"]
autodoc_member_order = "bysource"
autodoc_typehints_format = "short"
autodoc_preserve_defaults = True
python_use_unqualified_type_names = True
python_maximum_signature_line_length = 72
python_display_short_literal_types = True
add_module_names = False
toc_object_entries_show_parents = "hide"

# Equations are MathML, which browsers show without a script.
html_math_renderer = "mathml"

html_theme = "furo"
html_title = f"capsjax {release}"
html_static_path = [str(Path(__file__).parent / "static")]
html_css_files = ["site.css"]
html_copy_source = False
html_show_sourcelink = False
html_show_copyright = False
html_theme_options = {"top_of_page_buttons": []}
pygments_style = "friendly"
pygments_dark_style = "github-dark"
