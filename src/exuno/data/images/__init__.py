"""Images: decoding (``picture``, ``deep``), one photograph (``photo``), and a file for each format of data set."""
