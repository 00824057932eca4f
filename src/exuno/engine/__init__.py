"""What every training shares, and no paper.

- ``options``: run, optimizer and augmentation options; ``errors.ExunoError``: a mistake told in a sentence.
- ``loop.fit``: the one training loop, on Accelerate; ``schedule``, ``optim``, ``checkpoint``, ``progress``, ``track``.
- ``run.open_run``: the run directory; ``files``: writing in one step; ``session``: seeding, planning, smoke;
  ``launch``: processes.
"""
