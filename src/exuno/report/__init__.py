"""The page of a run: one self-contained HTML file that shows what was done, how well it went and how to repeat it.

- ``page.write_report``: RUN_DIR/report.html from what lies in the run directory.
- ``compare.write_comparison``: one table over several runs.
- ``grid.image_grid``, ``grid.save_png``: pictures for ``RUN_DIR/figures``.

``record`` reads the directory; ``headline``, ``pictures``, ``curves``, ``mistakes`` and ``setup`` write the sections.
"""
