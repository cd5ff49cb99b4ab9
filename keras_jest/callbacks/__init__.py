"""What watches a run."""

from keras_jest.callbacks.backup_and_restore import BackupAndRestore
from keras_jest.callbacks.compute_ledger import ComputeLedger
from keras_jest.callbacks.rank_agreement import RankAgreement
from keras_jest.callbacks.retrieval_evaluation import RetrievalEvaluation
from keras_jest.callbacks.selection_log import SelectionLog
from keras_jest.callbacks.wandb_metrics import WandbMetrics
from keras_jest.callbacks.zero_shot_evaluation import ZeroShotEvaluation
