"""The losses of few-shot transformers: pure functions of what student and teacher give for several views of a batch.

Every one returns a :class:`Term`, the sum of its terms and their number. Outputs of the student come divided by its
temperature, those of the teacher as probabilities (:func:`sharpen`); gradients go to the student's outputs alone.
"""

from exuno.fewshot.losses.ibot import dino, hidden_rows, masked
from exuno.fewshot.losses.shared import Pairs, Term, find_pairs, sharpen
from exuno.fewshot.losses.smkd import class_level, patch_level

__all__ = ["Pairs", "Term", "class_level", "dino", "find_pairs", "hidden_rows", "masked", "patch_level", "sharpen"]
