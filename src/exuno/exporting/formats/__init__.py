"""What a network or a poster can be written as, a file for each format. ``--format NAME`` finds them, or
``module:Name``.

A format is a function that writes a network with its preprocessing into a folder and compares what it wrote with
torch::

    @formats.register("onnx", needs=("onnxruntime",), install='pip install "exuno[onnx]"')
    def onnx(model: Classifier, folder: Path) -> Written: ...

    @formats.register("datasets", of="poster", needs=("datasets",), install='pip install "exuno[hf]"')
    def data_set(poster: Poster, folder: Path, license: str | None) -> str: ...  # says what it wrote

The second is a format ``of`` posters. ``model`` is in evaluation mode, on the CPU; it must stay as it is. What cannot
be compared is not kept. ``needs``: modules that have to be installed, ``install``: how they are.
"""
