"""A grid over the verbs that train and measure, and the table in which it ends.

- ``grid``: stages and axes -> cells; a cell is one command line, and knows which cells must be done before it.
- ``plan``: what a configuration stands for; ``rehearsal`` looks at all its commands before the first one runs;
  ``outline`` is what ``--dry-run`` shows.
- ``schedule``: which cell runs when, and what became of it; ``local`` and ``on_ray`` carry cells out; ``worker`` is the
  process that does.
- ``gather`` reads what the cells measured; ``table`` puts it in rows and columns.
- ``study``: ``exuno study`` from top to bottom.
"""
