"""Names of classes, put into sentences as captions would have them."""

PLACES = ("{}", "{c}")


def checked_names(class_names):
    """Return names of classes as a tuple of str, or raise a `ValueError`."""
    names = () if isinstance(class_names, str) else tuple(class_names)
    if not names or not all(isinstance(name, str) for name in names):
        raise ValueError(
            "`class_names` must be a list of str, at least one: entry `i` is "
            "the name of label `i`. Received: "
            f"class_names={short(class_names)}"
        )
    return names


def checked_templates(templates):
    """Return templates as a tuple of str, or raise a `ValueError`."""
    found = () if isinstance(templates, str) else tuple(templates)
    is_template = [
        isinstance(of, str) and any(place in of for place in PLACES)
        for of in found
    ]
    if not found or not all(is_template):
        raise ValueError(
            "`templates` must be a list of str, at least one, each with '{}' "
            "where the name of a class belongs ('{c}' as CLIP_benchmark "
            "writes it), such as ['a photo of a {}.']. Received: "
            f"templates={short(templates)}"
        )
    return found


def prompt(template, name):
    """A template with the name of a class in its place.

    Not by `str.format`, since names and templates may have other braces.
    """
    place = next(place for place in PLACES if place in template)
    return template.replace(place, name)


def short(value):
    text = repr(value)
    return text if len(text) <= 100 else f"{text[:97]}..."
