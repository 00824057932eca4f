"""A page on this machine to try exuno on: ``exuno app``.

- ``app``: its command line; ``options``: its configuration.
- ``jobs``: commands that the page starts, in processes of their own, one at a time.
- ``serve``: the server, which answers this machine only and lets a browser ask nobody else.
- ``page``: the page around its three tabs, ``photo``, ``poster`` and ``few``; ``progress``: what the first two have in
  common, a command that runs; ``parts``: pieces of HTML, and what the user did wrong as a sentence.
- ``uploads``: what was given to the page, kept where the same command finds it again.
"""
