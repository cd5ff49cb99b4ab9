"""Tells files that a system or a packer left in a tar from those of samples."""

import re

# macOS, Synology and QNAP, Windows, Unix, Jupyter and version control; pax
# headers that an old tar unpacked as files; WebDataset's own `__name__`.
SYSTEM_FOLDER = re.compile(
    r"__macosx|@eadir|@tmp|#recycle|#snapshot|\$recycle\.bin|recycler"
    r"|system volume information|lost\+found|\.trash(es|-\d+)?"
    r"|\.(appledouble|spotlight-v100|fseventsd|temporaryitems|@__thumb)"
    r"|\.(thumbnails|ipynb_checkpoints|git|svn|hg)"
    r"|__pycache__|paxheaders?(\.\d+)?|globalhead\.[\d.]+",
    re.IGNORECASE,
)
SYSTEM_FILES = {
    "thumbs.db",
    "ehthumbs.db",
    "ehthumbs_vista.db",
    "desktop.ini",
    "icon\r",
    "pax_global_header",
}
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
    """Return whether a member is `"hidden"`, of the `"system"`, or None.

    A folder with a leading dot hides nothing: tars of `~/.cache/...` hold
    samples.
    """
    *folders, base = name.removeprefix("./").split("/")
    if any(map(SYSTEM_FOLDER.fullmatch, folders)):
        return "system"
    if base.lower() in SYSTEM_FILES or re.fullmatch(r"__.+__", base):
        return "system"
    return "hidden" if re.match(r"\.[^.]", base) else None


def is_note(name):
    """Return whether a name is that of a README, a licence or the like."""
    base = name.rpartition("/")[2]
    return base.partition(".")[0].lower() in NOTES


def is_side_file(name):
    """Return whether a file that is part of no sample was not meant to be."""
    base = name.rpartition("/")[2]
    extension = base.rpartition(".")[2] if "." in base else ""
    return is_note(name) or extension.lower() in SIDE_EXTENSIONS
