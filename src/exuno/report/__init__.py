"""The page of a run: one self-contained HTML file that shows what was done, how well it went and how to repeat it.

- ``page``: ``exuno report``, RUN_DIR/report.html; ``compare``: several runs; ``record``: what a run directory says.
- ``headline``, ``figures``, ``curves``, ``mistakes``: the sections; ``html``, ``plot``: text and SVG charts.
- ``images``: grids and GIF files for ``RUN_DIR/figures``.
"""
