"""The first shards of the pool of drawings, which are enough for a look."""

import pathlib

import pytest

SHARED = pathlib.Path(__file__).parents[3] / "shared" / "data"
FIRST = ("train-00000", "curated-00000", "test-00000")


@pytest.fixture(scope="session")
def first_shards(tmp_path_factory):
    if not SHARED.exists():
        pytest.skip("needs the noisy pool in ../shared/data")
    folder = tmp_path_factory.mktemp("data")
    names = [f"pictograms/{name}.tar" for name in FIRST]
    for name in [*names, "pictograms_web30/web30-00000.tar"]:
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).symlink_to(SHARED / name)
    return folder
