"""Keras 3 models that decide what they train on while they train."""

# First of all, or the imports below would fail in other words.
from keras_jest import keras_backend  # isort: skip
from keras_jest import callbacks
from keras_jest import data
from keras_jest import datasets
from keras_jest import evaluation
from keras_jest import layers
from keras_jest import losses
from keras_jest import models
from keras_jest import selection
from keras_jest.selection.concept_balance import ConceptBalance
from keras_jest.selection.independent_selection import IndependentSelection
from keras_jest.selection.joint_selection import JointSelection
from keras_jest.selection.selection_policy import SelectionPolicy
from keras_jest.selection.uniform_selection import UniformSelection
from keras_jest.trainers.active_clip import ActiveCLIP
from keras_jest.trainers.class_act import ClassAct
from keras_jest.trainers.flexi_jest import FlexiJEST
from keras_jest.trainers.jest_model import JESTModel
from keras_jest.version import __version__
