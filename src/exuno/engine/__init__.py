"""What every training shares, and no paper.

- ``loop``: the one training loop; ``method``: what it trains; ``training``: its state and one step; ``graph``: recorded
  steps; ``optim``: optimizers; ``devices``, ``launch``: devices, precision, processes; ``probe``: speed beforehand.
- ``options``: run, optimizer and augmentation options; ``session``: seeding, dry runs, smoke runs.
- ``run``: the run directory; ``checkpoint``; ``progress``: the bar; ``tracking``: TensorBoard, Weights
  & Biases, MLflow, Trackio.
- ``files``: writing in one step; ``documents``: JSON and YAML; ``untrusted``: limits for files of strangers;
  ``digests``: checksums in files; ``errors``: mistakes told in a sentence.
"""
