"""Names of emoji from emojibase-data, drawings from the Iconify packages."""

import json
import re
import unicodedata

SKIN_TONES = {"1f3fb", "1f3fc", "1f3fd", "1f3fe", "1f3ff"}
MAX_KEYWORDS = 8
COLOURS = set(
    "red orange tangerine yellow green blue purple indigo brown pink grey gray"
    " black white".split()
)
# Tags that are not for captions: untrue of some drawings (women are tagged
# "man", and there are drawings in black and white), or rude.
DROPPED_TAGS = COLOURS | set(
    "man men woman women boy girl male female not no"
    " ass fml jew litaf lust pissed sexy".split()
)
NAMING_PACKAGES = [  # they say which code points their icons stand for
    "@iconify-json/noto",
    "@iconify-json/twemoji",
    "@iconify-json/fluent-emoji-flat",
]
# FxEmojis names the faces of five animals after the animal, and gives the
# names of six emoji to other things. Found by looking at all its drawings.
MISNAMED = {
    "@iconify-json/fxemoji": {
        "cat": "1f431",
        "dog": "1f436",
        "mouse": "1f42d",
        "pig": "1f437",
        "tiger": "1f42f",
        "construction": "1f3d7",  # a building site
        "kiss": None,
        "window": None,
        "keyboard": None,
        "gamedie": None,
        "tramcar": None,
    }
}


def read_json(path):
    return json.loads(path.read_text("utf-8"))


def code_points(hexcode):
    """`"2764-FE0F"` to `"2764"`: whether it is drawn in colour is no matter."""
    return "-".join(p for p in hexcode.lower().split("-") if p != "fe0f")


def plain(text):
    for curly, straight in {"“": '"', "”": '"', "‘": "'", "’": "'"}.items():
        text = text.replace(curly, straight)
    return text


def keywords_of(name, tags):
    """The tags that are words and are not in the name already."""
    known = set(re.findall(r"\w+", name.lower()))
    kept = []
    for tag in map(plain, tags):
        is_text = re.fullmatch(r"[a-zA-Z][a-zA-Z' -]{2,19}", tag)
        words = set(tag.lower().split())
        if is_text and not words & DROPPED_TAGS and not words <= known:
            kept.append(tag)
    return kept[:MAX_KEYWORDS]


def read_emoji(node_modules):
    """Code points to name, keywords, group and subgroup, in emoji order."""
    folder = node_modules / "emojibase-data"
    titles = read_json(folder / "meta" / "groups.json")
    entries = read_json(folder / "en" / "data.json")
    emoji = {}
    for entry in sorted(entries, key=lambda entry: entry.get("order", 0)):
        group = titles["groups"].get(str(entry.get("group")))
        if group in (None, "component"):  # single letters, hair, skin
            continue
        name = plain(entry["label"])
        emoji[code_points(entry["hexcode"])] = {
            "name": name,
            "keywords": keywords_of(name, entry.get("tags", [])),
            "group": group,
            "subgroup": titles["subgroups"][str(entry["subgroup"])],
        }
    return emoji


def match_key(name):
    """What the spellings of one name have in common."""
    name = unicodedata.normalize("NFKD", name.lower())
    name = re.sub(r"^flag-for-(flag-)?", "flag-", name)
    return re.sub(r"[^a-z0-9]", "", name)


def named_emoji(node_modules, emoji):
    """Match keys to code points, CLDR names first."""
    pairs = [(fields["name"], code) for code, fields in emoji.items()]
    for code in emoji:
        if "-" not in code:
            pairs.append((unicodedata.name(chr(int(code, 16)), ""), code))
    for package in NAMING_PACKAGES:
        names = {
            name: code_points(hexcode)
            for hexcode, name in read_json(
                node_modules / package / "chars.json"
            ).items()
        }
        aliases = read_json(node_modules / package / "icons.json")["aliases"]
        pairs += names.items()
        pairs += [
            (alias, names[target["parent"]])
            for alias, target in aliases.items()
            if target["parent"] in names
        ]
    index = {}
    for name, code in pairs:
        if code in emoji and match_key(name):
            index.setdefault(match_key(name), code)
    return index


def icon_names(node_modules, package, emoji, index):
    """Code points to the name of the package's icon."""
    table = read_json(node_modules / package / "chars.json")
    icons = read_json(node_modules / package / "icons.json")["icons"]
    if table:
        pairs = [(name, code_points(code)) for code, name in table.items()]
    else:
        pairs = [(name, index.get(match_key(name))) for name in icons]
    fixes = MISNAMED.get(package, {})
    names = {}
    for name, code in pairs:
        code = fixes.get(name, code)
        hidden = name not in icons or icons[name].get("hidden")
        if code not in emoji or hidden:
            continue
        if SKIN_TONES.isdisjoint(code.split("-")):
            names.setdefault(code, name)
    return names


def svg(icon, defaults):
    """An SVG document with the icon in the middle of a square."""
    width = icon.get("width", defaults["width"])
    height = icon.get("height", defaults["height"])
    side = max(width, height)
    left = icon.get("left", 0) - (side - width) / 2
    top = icon.get("top", 0) - (side - height) / 2
    return (
        '<svg xmlns="http://www.w3.org/2000/svg"'
        ' xmlns:xlink="http://www.w3.org/1999/xlink"'
        f' viewBox="{left:g} {top:g} {side:g} {side:g}">{icon["body"]}</svg>'
    )


def read_drawings(node_modules, package, emoji, index):
    """Code points to SVG documents, in emoji order."""
    names = icon_names(node_modules, package, emoji, index)
    icon_set = read_json(node_modules / package / "icons.json")
    return {
        code: svg(icon_set["icons"][names[code]], icon_set)
        for code in emoji
        if code in names
    }
