"""The answers of a model for pictures, one by one: which class, and how sure.

- ``predict``: ``exuno predict``, its command line; ``options``: its configuration, and what every such verb takes.
- ``pictures``: which pictures a command or a call names, read in batches; ``answers``: what a model says of them.
- ``rows``: a table, JSON lines or CSV.
"""
