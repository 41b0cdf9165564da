"""Formulas as pictures within the page: no script, no network, no LaTeX, no font to install."""

import re
from xml.etree import ElementTree as ET

import ziamath
from docutils import nodes
from sphinx.util import logging

_LOGGER = logging.getLogger(__name__)
#: Size of a formula in its own units, and how many of these are as large as the text around it.
_SIZE, _EM = 16.0, 15.0
#: Commands that were not understood are passed on as text.
_UNKNOWN = re.compile(r">\s*(\\[A-Za-z]+)")

ziamath.config.svg2 = False  # glyphs as paths, which need no ids that are unique in a page


def _drawn(writer, node, is_inline):
    """A formula as an element of HTML."""
    source = node.astext()
    try:
        formula = ziamath.Latex(
            source, size=_SIZE, color="currentColor", inline=is_inline, margin=0
        )
        if unknown := _UNKNOWN.search(formula.mathmlstr()):
            raise ValueError(f"unknown command {unknown[1]}")
        picture = formula.svgxml()
    except (ValueError, KeyError, AssertionError, AttributeError, IndexError) as error:
        _LOGGER.warning("%r is no formula: %s", source, error or "unbalanced?", location=node)
        return f"<code>{writer.encode(source)}</code>"
    left, top, width, height = (float(n) / _EM for n in picture.attrib["viewBox"].split())
    picture.attrib |= {"width": f"{width:.3f}em", "height": f"{height:.3f}em"}
    picture.attrib |= {"role": "img", "aria-label": " ".join(source.split())}
    if is_inline:  # on the line, and where its first symbol begins
        picture.set("style", f"vertical-align: {-(top + height):.3f}em; margin-left: {left:.3f}em")
    return ET.tostring(picture, encoding="unicode")


def visit_math(self, node):
    self.body.append(_drawn(self, node, is_inline=True))
    raise nodes.SkipNode


def visit_math_block(self, node):
    self.body.append(self.starttag(node, "div", CLASS="math-block"))
    self.body.append(_drawn(self, node, is_inline=False))
    if node["number"]:
        self.body.append(f'<span class="eqno">({node["number"]})')
        self.add_permalink_ref(node, "Link to this equation")
        self.body.append("</span>")
    self.body.append("</div>\n")
    raise nodes.SkipNode


def setup(app):
    app.add_html_math_renderer("svg", (visit_math, None), (visit_math_block, None))
    return {"parallel_read_safe": True, "parallel_write_safe": True}
