"""Handing on a model or a poster: a folder that says what it is, for exuno, for ONNX runtimes, for the hub.

- ``export``: ``exuno export``; ``options``: its configuration; ``packages``: what formats need.
- ``model``: folders of models; ``poster``: of posters, ``croissant``: their metadata as data sets; ``formats``: a file
  for each format, ``check``: what holds it against torch.
- ``int8``: an ONNX file in 8 bits, calibrated on a photograph.
- ``readme``: README.md for the hub, and the run that it tells of.
"""
