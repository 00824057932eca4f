"""Handing on a model or a poster: a folder that says what it is, for exuno, for ONNX runtimes, for the hub.

- ``model``: safetensors, model.json and README.md.
- ``onnx``: the model with its preprocessing as one ONNX file, checked against torch.
- ``poster``: a poster with its picture in README.md.
- ``push``: to the Hugging Face hub.
- ``command``: ``exuno export``.
"""
