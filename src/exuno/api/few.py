"""``exuno.fewshot.Predictor``: the one of ``exuno fewshot predict``, its mistakes told with keywords for flags."""

from exuno.api.keywords import as_keywords
from exuno.fewshot import predictor


class Predictor(predictor.Predictor):
    __doc__ = predictor.Predictor.__doc__
    __init__ = as_keywords()(predictor.Predictor.__init__)
    predict = as_keywords()(predictor.Predictor.predict)
