"""What each layer of a network has learned: linear probes on all layers at once, beside other networks.

- ``probe``: ``exuno probe``, its configuration and command line; ``measure``: from top to bottom.
- ``layers``: which layers a network has, and how they are pooled; ``linear``: the probes, solved together.
"""
