"""Image-text models that return pairs."""

from keras_jest.models.build_store import build_store
from keras_jest.models.dual_encoder import DualEncoder
from keras_jest.models.hub_dual_encoder import HubDualEncoder
from keras_jest.models.image_transformer import ImageTransformer
from keras_jest.models.pairs import make_pairs
from keras_jest.models.precomputed import Precomputed
from keras_jest.models.precomputed import precompute
from keras_jest.models.precomputed_losses import PrecomputedLosses
from keras_jest.models.precomputed_losses import precompute_losses
from keras_jest.models.siglip import SigLIP
from keras_jest.models.text_transformer import TextTransformer
