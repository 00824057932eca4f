"""Videos: one file (``file``), a set of them as clips (``clips``), and how sets are laid out (``open``)."""
