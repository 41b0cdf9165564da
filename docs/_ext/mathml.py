"""Formulas as MathML, which browsers show by themselves: no script, no network, no LaTeX."""

import re

from docutils import nodes
from docutils.utils.math import MathError
from docutils.utils.math.latex2mathml import tex2mathml
from sphinx.util import logging

#: Large brackets: docutils knows "\Bigl" but not "\Big".
_BIG = re.compile(r"\\([Bb]igg?)(?![A-Za-z])")
_LOGGER = logging.getLogger(__name__)


def _converted(writer, node, as_block):
    try:
        return tex2mathml(_BIG.sub(r"\\\1l", node.astext()), as_block=as_block)
    except MathError as error:
        _LOGGER.warning("%r is no formula: %s", node.astext(), error, location=node)
        return f"<code>{writer.encode(node.astext())}</code>"


def visit_math(self, node):
    self.body.append(_converted(self, node, as_block=False))
    raise nodes.SkipNode


def visit_math_block(self, node):
    self.body.append(self.starttag(node, "div", CLASS="math-block"))
    self.body.append(_converted(self, node, as_block=True))
    if node["number"]:
        self.body.append(f'<span class="eqno">({node["number"]})')
        self.add_permalink_ref(node, "Link to this equation")
        self.body.append("</span>")
    self.body.append("</div>\n")
    raise nodes.SkipNode


def setup(app):
    app.add_html_math_renderer("mathml", (visit_math, None), (visit_math_block, None))
    return {"parallel_read_safe": True, "parallel_write_safe": True}
