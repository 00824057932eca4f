"""Posters as files (``format``, ``check``, ``picture``) of few bits (``quantisation``, ``palette``), with small
planes of colour (``chroma``) or whitened (``whitening``), what they take (``ledger``), and as data sets (``data_set``):
where patches lie, are cut out and labelled."""
