"""How much a model computes, counted from what its backend would run."""

from keras_jest.flops.count_flops import count_flops
from keras_jest.flops.model_pass import ModelPass
