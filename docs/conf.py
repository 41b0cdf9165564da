"""How Sphinx builds the documentation: `make docs`."""

import ast
import os
import re
import sys
from pathlib import Path

os.environ.setdefault("MPLBACKEND", "agg")

DOCS = Path(__file__).parent
sys.path[:0] = [str(DOCS / "_ext"), str(DOCS.parent / "benches")]

import pages

import fastl0

# --- the project ---------------------------------------------------------------------

project = "fastl0"
author = "The fastl0 developers"
copyright = author
version = release = fastl0.__version__

# --- what is read --------------------------------------------------------------------

extensions = [
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx.ext.doctest",
    "numpydoc",
    "sphinx_gallery.gen_gallery",
    "svg_math",
]
templates_path = ["_templates"]
exclude_patterns = ["_build", "_templates", "examples", "evidence/tables"]
#: As in the docstrings: `name` is code.
default_role = "literal"
html_math_renderer = "svg"

autodoc_typehints = "none"  # the docstrings say more
autosummary_generate = True
toc_object_entries_show_parents = "hide"
numpydoc_show_class_members = False  # the template of classes lists them
numpydoc_class_members_toctree = False

# --- examples that run ---------------------------------------------------------------

# Every block that starts with >>> is run, those of the docstrings too, in a folder that is
# thrown away.
doctest_global_setup = """
import os, tempfile, warnings
warnings.simplefilter("ignore")
_before, _folder = os.getcwd(), tempfile.TemporaryDirectory()
os.chdir(_folder.name)
"""
doctest_global_cleanup = """
import matplotlib.pyplot
matplotlib.pyplot.close("all")
os.chdir(_before)
_folder.cleanup()
"""

sphinx_gallery_conf = {
    "examples_dirs": "examples",
    "gallery_dirs": "tutorials",
    "filename_pattern": "/plot_",
    "within_subsection_order": "FileNameSortKey",
    "abort_on_example_error": True,
    "doc_module": ("fastl0",),
    "backreferences_dir": "reference/generated/backreferences",
    "reference_url": {"fastl0": None},
    "ignore_repr_types": r"matplotlib|fastl0\.plotting",  # nobody wants to read an address
    "download_all_examples": False,
    "show_signature": False,
    "remove_config_comments": True,
}

# --- the pages -----------------------------------------------------------------------

html_theme = "pydata_sphinx_theme"
html_title = f"fastl0 {release}"
html_static_path = ["_static"]
html_css_files = ["fastl0.css"]
html_show_sourcelink = False
html_copy_source = False
html_theme_options = {
    "logo": {"text": "fastl0"},
    "show_prev_next": True,
    "navigation_with_keys": False,
    "header_links_before_dropdown": 7,
    "navbar_align": "left",
    "navbar_end": ["theme-switcher"],
    "secondary_sidebar_items": ["page-toc"],
    "footer_start": ["copyright"],
    "footer_end": [],
}
html_sidebars = {"index": []}


# --- what is made while it is built --------------------------------------------------


def write_evidence(app, config):
    """Make the tables and pictures of the evidence anew from their CSV files."""
    pages.write(DOCS / "evidence" / "tables")


def write_modules(app, config):
    """List all modules with the first sentence of each, for the page on the architecture."""
    lines = [".. list-table::", "   :widths: 40 60", "   :class: evidence", ""]
    for path in sorted((DOCS.parent / "fastl0").rglob("*.py")):
        text = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or ""
        sentence = re.match(r".*?(?:\.(?=\s|$)|$)", text.partition("\n\n")[0], re.DOTALL)[0]
        name = path.relative_to(DOCS.parent).with_suffix("").as_posix().replace("/", ".")
        name = name.removeprefix("fastl0.").removesuffix(".__init__")
        lines += [f"   * - ``{name}``", f"     - {' '.join(sentence.split())}"]
    pages.put(DOCS / "contributing" / "modules.inc", "\n".join([*lines, ""]))


_LINK_TO_SKLEARN = re.compile(r":(?:ref|term):`([^`<]+?)(?:\s*<[^`>]+>)?`", re.DOTALL)
_SHAPE = re.compile(r"of shape \([^)]*\)")


def mend_docstring(app, what, name, obj, options, lines):
    """Make reStructuredText of what reads well in an editor only.

    Inherited docstrings link to scikit-learn's user guide, which is not here, and a shape such as
    (n_features_in_,) looks like a link.
    """
    text = _LINK_TO_SKLEARN.sub(r"\1", "\n".join(lines))
    text = _SHAPE.sub(lambda shape: re.sub(r"_(?=[,)])", r"\\_", shape[0]), text)
    lines[:] = text.split("\n")


def setup(app):
    """Connect them to the build."""
    app.connect("config-inited", write_evidence)
    app.connect("config-inited", write_modules)
    app.connect("autodoc-process-docstring", mend_docstring, priority=400)  # before numpydoc
