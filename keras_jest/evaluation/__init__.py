"""What a model is worth on data that it has not seen, and what it cost."""

from keras_jest.evaluation.computation import computation
from keras_jest.evaluation.plot_ledgers import plot_ledgers
from keras_jest.evaluation.rank_agreement import rank_agreement
from keras_jest.evaluation.retrieval import retrieval
from keras_jest.evaluation.save_clip_benchmark import save_clip_benchmark
from keras_jest.evaluation.selection_report import selection_report
from keras_jest.evaluation.selection_tables import selection_tables
from keras_jest.evaluation.zero_shot_classifier import ZeroShotClassifier
from keras_jest.flops.count_flops import count_flops
