"""Whoever calls us by public names is told of wrong types by a checker."""

import inspect
import os
import pathlib
import re
import subprocess
import sys

import pytest

import keras_jest  # noqa: F401
from keras_jest.api_export import PUBLIC_NAMES

pytestmark = pytest.mark.once

ROOT = pathlib.Path(__file__).parents[1]
LISTED = pathlib.Path(__file__).with_name("public_names.txt")
CALLED = {"__init__", "__call__", "__len__", "__getitem__"}

# As somebody writes it who has the package installed; his lines that are
# wrong say so, and only those may be found.
USER = """
import keras
import numpy as np

from keras_jest import ConceptBalance
from keras_jest import JESTModel
from keras_jest import JointSelection
from keras_jest import SelectionPolicy
from keras_jest.data import Tokenizer
from keras_jest.data import record_key
from keras_jest.data import super_batches
from keras_jest.evaluation import retrieval
from keras_jest.losses import LossGivenSet
from keras_jest.models import SigLIP
from keras_jest.types import Tensor


class FirstRows(SelectionPolicy):
    needs = ("learner",)
    columns = ("concepts",)

    def select(
        self,
        learner: LossGivenSet,
        reference: LossGivenSet,
        seed: Tensor,
        concepts: Tensor,
    ) -> Tensor:
        return list(range(self.num_kept(len(learner.values))))


model = JESTModel(keras.Model(), seed=0)
model.compile(selection=FirstRows(filter_ratio=0.5))
model.compile(selection=ConceptBalance(9, target=np.ones(9)))
model.compile(selection=JointSelection(score=lambda ours, theirs: -theirs))
model.compile(selection=keras.Model())
model.compile(selection=3)  # wrong
model.fit(selection=object())  # wrong
JointSelection(filter_ratio="0.8")  # wrong
JointSelection(filter_ration=0.8)  # wrong
JointSelection().num_kept(10) + "1"  # wrong
SigLIP(width="wide")  # wrong
SigLIP.from_variant("B/16").encode_images(np.ones(3)).shape
SigLIP.from_variant("B/16").encode_images(np.ones(3)).size()  # wrong

records = [{"image": b"", "text": "a cat", "key": "0"}]
tokenizer = Tokenizer.train(["a cat"])
super_batches(records, tokenizer, image_size=16, batch_size=4)
super_batches(records, tokenizer, image_size=16)  # wrong
super_batches("a/folder", tokenizer, image_size=16, batch_size=4)  # wrong
record_key("0").tolist()
record_key(0)  # wrong
retrieval({}, ks=[1, 5])["image_to_text_recall@1"].is_integer()
retrieval({}, ks=5)  # wrong
"""


def called(symbol):
    """What is called of a public name: names and functions of ours."""
    if not inspect.isclass(symbol):
        return [(symbol.__name__, symbol)]
    names = [of for of in dir(symbol) if of in CALLED or of[0] != "_"]
    found = []
    for name in names:
        member = inspect.getattr_static(symbol, name)
        function = getattr(member, "fget", None) or getattr(symbol, name)
        function = getattr(function, "__func__", function)
        is_ours = getattr(function, "__module__", "").startswith("keras_jest")
        if inspect.isfunction(function) and is_ours:
            found.append((name, function))
    return found


def untyped(name, function, is_member):
    """Parameters without a type, and whether there is none of the result."""
    signature = inspect.signature(function)
    parameters = list(signature.parameters.values())[is_member:]
    told = {of.name: of.annotation for of in parameters}
    told["return"] = signature.return_annotation
    empty = inspect.Signature.empty
    return [f"{name}: {of}" for of, type_ in told.items() if type_ is empty]


@pytest.mark.parametrize("path", LISTED.read_text().split())
def test_every_argument_and_result_has_a_type(path):
    symbol = PUBLIC_NAMES[path]
    functions = called(symbol)
    assert functions
    is_class = inspect.isclass(symbol)
    assert [
        lack
        for name, function in functions
        for lack in untyped(name, function, is_member=is_class)
    ] == []


def test_a_user_program_is_checked_by_the_types_of_the_package(tmp_path):
    (tmp_path / "user.py").write_text(USER)
    # By the cache of `make test` it takes a second, without it twelve.
    options = {
        "--config-file": ROOT / "pyproject.toml",
        "--cache-dir": ROOT / ".mypy_cache",
    }
    done = subprocess.run(
        [
            *(sys.executable, "-m", "mypy", "user.py"),
            *(f"{name}={value}" for name, value in options.items()),
        ],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
    )
    found = re.findall(r"^user\.py:(\d+): error", done.stdout, re.MULTILINE)
    lines = enumerate(USER.splitlines(), start=1)
    wrong = [number for number, line in lines if line.endswith("# wrong")]
    assert [int(number) for number in found] == wrong, done.stdout + done.stderr
