"""The answers of a model for pictures, one by one: which class, and how sure.

- ``predict``: ``exuno predict``, its command line; ``options``: its configuration, and what every such verb takes.
- ``pictures``: one of them, opened; ``reading``: which ones a command or a call names, in batches; ``answers``: what a
  model says of them.
- ``rows``: a table, JSON lines or CSV.
"""
