"""Examining a teacher, and candidate photographs, before any training: ``exuno doctor``.

- ``options.DoctorConfig``: what to do; ``examine.doctor(config) -> Run``: do it in a run directory; ``patient``: what
  is examined; ``claim``: what accuracy it is said to have.
- ``normalisation``, ``paired``: which normalisation of the input is right; ``temperature``: calibration;
  ``smoothing``: signs of label smoothing; ``sources``: what the teacher makes of a photograph's patches.
- ``advice``: the rule for the temperature of distillation; ``words``: tables and sentences; ``command``: the verb.
"""
