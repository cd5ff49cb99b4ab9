"""Policies, scores and seeded draws: losses in, picks out."""

from keras_jest.selection.concept_balance import ConceptBalance
from keras_jest.selection.independent_selection import IndependentSelection
from keras_jest.selection.joint_selection import JointSelection
from keras_jest.selection.scores import easy_reference
from keras_jest.selection.scores import hard_learner
from keras_jest.selection.scores import learnability
from keras_jest.selection.selection_policy import SelectionPolicy
from keras_jest.selection.uniform_selection import UniformSelection
