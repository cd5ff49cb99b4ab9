"""Which columns of a table are the pictures, the captions and the rest."""

from keras_jest.data.arrow_file import EXTRA
from keras_jest.data.require import require
from keras_jest.data.short_name import short_name

# As open_clip, img2dataset, Hugging Face and Kaggle call them.
IMAGE = (
    "image",
    "filepath",
    "file_name",
    "filename",
    "image_path",
    "image_file",
    "path",
    "img",
    "jpg",
)
CAPTION = ("caption", "text", "title", "txt", "prompt")
MAX_SHOWN = 30


def chosen_column(role, name, known, names):
    """The column that was asked for, or the only one with a known name.

    Args:
        role: str. The argument that says which, such as `"image"`.
        name: str or `None`. What it says.
        known: tuple of str. Usual names.
        names: list of str. The columns that there are.

    Raises:
        ValueError: There is none, or several could be meant.
    """
    found = [of for of in known if of in names] if name is None else [name]
    if len(found) == 1 and names.count(found[0]) == 1:
        return found[0]
    shown = [short_name(of) for of in names[:MAX_SHOWN]]
    usual = f", by default one of {known}" if known else ""
    raise ValueError(
        f"Expected `{role}` to be the name of one column{usual}. Received: "
        f"{role}={name!r} for a table with the columns {shown}"
        + (f", of which {found} could be meant" if len(found) > 1 else "")
    )


def check_image_type(field):
    """Raise unless a column holds paths, bytes or both as `datasets` does."""
    types = require("pyarrow", EXTRA).types
    kind = value_type(field)
    if is_text(kind) or is_bytes(kind):
        return
    if types.is_struct(kind):
        parts = {kind.field(of).name for of in range(kind.num_fields)}
        if parts & {"bytes", "path"}:
            return
    raise ValueError(
        "Expected `image` to be a column of paths, of the bytes of picture "
        "files, or of structs of `bytes` and `path`. Received: "
        f"{field.name!r} of type {short_name(str(field.type))}"
    )


def check_caption_type(field):
    """Raise unless a column holds texts."""
    kind = value_type(field)
    if not (is_text(kind) or is_bytes(kind)):
        raise ValueError(
            "Expected `caption` to be a column of texts. Where a picture has "
            "a list of captions, give each a row of its own "
            "(`DataFrame.explode`, `Dataset.map(..., batched=True)`) or take "
            f"one. Received: {field.name!r} of type "
            f"{short_name(str(field.type))}"
        )


def field_columns(schema, is_all_text):
    """The columns whose values are numbers, texts, times or the like.

    Args:
        schema: `pyarrow.Schema`.
        is_all_text: bool. Whether bytes are text, too.
    """
    types = require("pyarrow", EXTRA).types
    names = schema.names
    return [
        field.name
        for field in schema
        if names.count(field.name) == 1
        and not types.is_nested(field.type)
        and (is_all_text or not is_bytes(value_type(field)))
    ]


def value_type(field):
    """The type of a column's values, also where each is kept once."""
    types = require("pyarrow", EXTRA).types
    if types.is_dictionary(field.type):
        return field.type.value_type
    return field.type


def is_text(kind):
    types = require("pyarrow", EXTRA).types
    return (
        types.is_string(kind)
        or types.is_large_string(kind)
        or types.is_string_view(kind)
    )


def is_bytes(kind):
    types = require("pyarrow", EXTRA).types
    return (
        types.is_binary(kind)
        or types.is_large_binary(kind)
        or types.is_binary_view(kind)
    )
