"""Layers that make their sublayers themselves and forget nothing."""

import json
from typing import Any

import keras

from keras_jest.layers.adapters import read_adapters
from keras_jest.layers.adapters import write_adapters
from keras_jest.layers.sublayer_states import restore_sublayer_states
from keras_jest.layers.sublayer_states import sublayer_paths
from keras_jest.layers.sublayer_states import sublayer_states

TOLD = (
    "name",
    "trainable",
    "dtype",
    "quantization_config",
    "lora_rank",
    "lora_alpha",
    "sublayers",
)


class KeepsSublayers:
    """Writes what was done to sublayers beside what makes them.

    To be named before `keras.layers.Layer` or `keras.Model` among the bases
    of a class which calls `sublayers_are_made` or `restore_sublayers` when
    all its weights exist.

    Frozen layers and weights, dtype policies, quantised weights ("int8",
    "int4", "float8") and low-rank adapters (`enable_lora`) are written to
    configs and `.keras` files, and come back.
    """

    writes_adapters = True

    def __init__(self, *args, sublayers=None, **kwargs):
        super().__init__(*args, **kwargs)
        # As text: Keras would look for variables in a dict.
        self._saved_states = json.dumps(sublayers or {})
        self._sublayers_as_made = None

    def sublayers_are_made(self) -> None:
        """Let `get_config` refuse what the sizes of a layer do not make."""
        self._sublayers_as_made = json.dumps(configs_of_sublayers(self))
        self.restore_sublayers()

    def restore_sublayers(self) -> None:
        """Give the sublayers the states in which they were saved."""
        restore_sublayer_states(self, json.loads(self._saved_states))
        self._saved_states = "{}"

    def get_config(self) -> dict[str, Any]:
        check_sublayers(self)
        states = sublayer_states(self) | json.loads(self._saved_states)
        config = super().get_config()
        return {**config, "sublayers": states} if states else config

    def save_own_variables(self, store: Any) -> None:
        super().save_own_variables(store)
        write_adapters(self, store)

    def load_own_variables(self, store: Any) -> None:
        super().load_own_variables(read_adapters(self, store))


def own_sublayers(layer):
    """Paths and layers inside a layer, but for what is in another of ours."""

    def into(inner):
        return not isinstance(inner, KeepsSublayers)

    return sublayer_paths(layer, into=into)


def configs_of_sublayers(layer):
    """What the layers inside a layer are, but for what is told anyway.

    Others of ours know theirs by themselves.
    """
    return {
        path: {
            key: value
            for key, value in inner.get_config().items()
            if key not in TOLD and not key.endswith("_initializer")
        }
        if not isinstance(inner, KeepsSublayers)
        else {}
        for path, inner in own_sublayers(layer)
    }


def as_text_and_back(config):
    """A config without what only saving adds to it."""

    def without_number(entries):
        entries.pop("shared_object_id", None)
        return entries

    return json.loads(json.dumps(config), object_hook=without_number)


def untracked(layer):
    """What was put into a list of layers: Keras does not train it."""
    known = {id(inner) for inner in layer._flatten_layers()}
    return [
        f"{name} has a {type(item).__name__} that is new"
        for name, value in vars(layer).items()
        if isinstance(value, list) and not name.startswith("_")
        for item in value
        if isinstance(item, keras.layers.Layer) and id(item) not in known
    ]


def check_sublayers(layer):
    """Raise unless the sizes of a layer make the layers that are in it."""
    if layer._sublayers_as_made is None:
        return
    changes = changes_of_sublayers(layer) + untracked(layer)
    if changes:
        raise ValueError(explained_changes(layer, changes))
    for _, inner in own_sublayers(layer):
        if isinstance(inner, KeepsSublayers):
            check_sublayers(inner)


def changes_of_sublayers(layer):
    as_made = json.loads(layer._sublayers_as_made)
    present = as_text_and_back(configs_of_sublayers(layer))
    changes = [f"{path} is new" for path in present if path not in as_made]
    for path, made in as_made.items():
        if path not in present:
            changes.append(f"{path} is gone")
        elif present[path] != made:
            keys = [key for key in made if present[path].get(key) != made[key]]
            changes.append(f"{path} has another {', '.join(keys)}")
    return changes + [
        f"{path} is quantised by {inner.quantization_mode!r}"
        for path, inner in own_sublayers(layer)
        if inner.quantization_mode in ("gptq", "awq")
    ]


def explained_changes(layer, changes):
    return (
        f"A {type(layer).__name__} is saved as its sizes, and as what was "
        "frozen, adapted by `enable_lora`, quantised to 'int8', 'int4' or "
        "'float8', or given another dtype policy. It cannot be saved with "
        f"other changes. Received: '{layer.name}', in which "
        f"{'; '.join(changes)}. Undo them, make a "
        "`keras_jest.models.DualEncoder` of towers of your own, or write its "
        "weights alone by `save_weights`."
    )
