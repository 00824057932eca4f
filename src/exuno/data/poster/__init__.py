"""Posters as files (``format``, ``picture``) of few bits (``quantisation``), what they take (``ledger``), and as data
sets (``data_set``): where patches lie, are cut out and labelled."""
