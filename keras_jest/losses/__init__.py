"""Contrastive losses per example, and given a chosen set."""

from keras_jest.losses.loss_given_set import LossGivenSet
from keras_jest.losses.loss_given_set import given
from keras_jest.losses.own_similarity_loss import OwnSimilarityLoss
from keras_jest.losses.sigmoid_contrastive_loss import SigmoidContrastiveLoss
from keras_jest.losses.softmax_contrastive_loss import SoftmaxContrastiveLoss
