"""What a model is worth on data that it has not seen."""

from keras_jest.evaluation.computation import computation
from keras_jest.evaluation.rank_agreement import rank_agreement
from keras_jest.evaluation.retrieval import retrieval
