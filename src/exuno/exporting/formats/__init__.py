"""What a network can be written as, a file for each format. ``--format NAME`` finds them, or ``module:Name``.

A format is a function that writes a network with its preprocessing into a folder and compares what it wrote with
torch::

    @formats.register("onnx", needs=("onnxruntime",), install='pip install "exuno[onnx]"')
    def onnx(model: Classifier, folder: Path) -> Written: ...

``model`` is in evaluation mode, on the CPU; it must stay as it is. What cannot be compared is not kept. ``needs``:
modules that have to be installed, ``install``: how they are.
"""
