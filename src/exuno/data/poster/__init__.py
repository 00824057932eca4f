"""Posters as files (``format``) and as data sets (``data_set``): where patches lie, are cut out and labelled."""
