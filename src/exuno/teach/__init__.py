"""Supervised training with label smoothing: ``teach`` is ``exuno teach``, ``train`` the method and the work."""
