import pytest

from keras_jest.datasets import pictograms


@pytest.fixture(scope="session")
def data():
    """The pictograms, loaded once for all tests."""
    return pictograms.load_data()
