"""Tells files that a system or a packer left in a tar from those of samples."""

import re

# Folders of macOS, Synology and QNAP, Windows, Unix, Jupyter and version
# control, and of pax headers that an old tar unpacked as files.
SYSTEM_FOLDERS = (
    r"__macosx|@eadir|@tmp|#recycle|#snapshot|\$recycle\.bin|recycler"
    r"|system volume information|lost\+found|\.trash(?:es|-\d+)?"
    r"|\.(?:appledouble|spotlight-v100|fseventsd|temporaryitems|@__thumb)"
    r"|\.(?:thumbnails|ipynb_checkpoints|git|svn|hg)|__pycache__"
    r"|paxheaders?(?:\.\d+)?"
)
SYSTEM_FILES = (
    r"thumbs\.db|ehthumbs(?:_vista)?\.db|desktop\.ini|icon\r"
    r"|pax_global_header"
)
# `__name__` is WebDataset's own. A folder with a leading dot hides nothing:
# tars of `~/.cache/...` hold samples.
FOREIGN = re.compile(
    rf"(?:^|/)(?:(?P<system>(?:{SYSTEM_FOLDERS})/|(?:{SYSTEM_FILES})$"
    r"|__[^/]+__(?:/|$))|(?P<hidden>\.[^./][^/]*$))",
    re.IGNORECASE,
)
NOTES = {
    "authors",
    "changelog",
    "changes",
    "citation",
    "contributors",
    "copying",
    "copyright",
    "licence",
    "licences",
    "license",
    "licenses",
    "manifest",
    "notice",
    "readme",
    "version",
}
SIDE_EXTENSIONS = {
    "asc",
    "bak",
    "cfg",
    "crc32",
    "csv",
    "db",
    "idx",
    "index",
    "ini",
    "json",
    "jsonl",
    "lock",
    "log",
    "lst",
    "md",
    "md5",
    "md5sum",
    "parquet",
    "pdf",
    "py",
    "rst",
    "sfv",
    "sh",
    "sha1",
    "sha256",
    "sha256sum",
    "sha512",
    "sig",
    "sum",
    "swp",
    "tmp",
    "toml",
    "tsv",
    "xml",
    "yaml",
    "yml",
}


def foreign_kind(name):
    """Return whether a member is `"hidden"`, of the `"system"`, or None."""
    match = FOREIGN.search(name)
    return match and match.lastgroup


def is_note(name):
    """Return whether a name is that of a README, a licence or the like."""
    base = name.rpartition("/")[2]
    return base.partition(".")[0].lower() in NOTES


def is_side_file(name):
    """Return whether a file that is part of no sample was not meant to be."""
    base = name.rpartition("/")[2]
    extension = base.rpartition(".")[2] if "." in base else ""
    return is_note(name) or extension.lower() in SIDE_EXTENSIONS
