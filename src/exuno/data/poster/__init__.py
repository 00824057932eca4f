"""Posters as files (``format``, ``check``, ``picture``) of few bits (``quantisation``, ``palette``) or whitened
(``whitening``), what they take (``ledger``), and as data sets (``data_set``): where patches lie, are cut out and
labelled."""
