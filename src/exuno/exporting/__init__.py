"""Handing on a model or a poster: a folder that says what it is, for exuno, for ONNX runtimes, for the hub.

- ``export``: ``exuno export``; ``model``: folders of models and posters; ``onnx``: one file, checked against torch.
- ``readme``: README.md for the hub, and the run that it tells of.
"""
