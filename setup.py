"""Packaging of keras_jest."""

import pathlib

from setuptools import find_packages
from setuptools import setup

HERE = pathlib.Path(__file__).parent
VERSION = (HERE / "keras_jest" / "version.py").read_text("utf-8").split('"')[-2]

JAX = ["jax>=0.4.34"]
TENSORFLOW = ["tensorflow>=2.18"]
TORCH = ["torch>=2.6"]
HUB = ["keras-hub>=0.24"]
PLOTS = ["matplotlib>=3.8"]
PARQUET = ["pyarrow>=15"]
GUIDES = ["scikit-learn>=1.4", *PLOTS, *PARQUET]
REPORT = ["jinja2>=3.1", *PLOTS, *PARQUET]
RAY = ["ray[data]>=2.40", *PARQUET]
DEV = [
    "hypothesis",
    "import-linter",
    "mypy",
    "pre-commit",
    "pytest",
    "pytest-xdist",
    "ruff",
    *REPORT,
]

setup(
    name="keras-jest",
    version=VERSION,
    description="Joint example selection for Keras 3.",
    long_description=(HERE / "README.md").read_text("utf-8"),
    long_description_content_type="text/markdown",
    author="The keras_jest authors",
    license="Apache-2.0",
    license_files=["LICENSE", "NOTICE"],
    packages=find_packages(include=["keras_jest", "keras_jest.*"]),
    package_data={
        "keras_jest": ["py.typed"],
        "keras_jest.datasets": ["files/*"],
        "keras_jest.evaluation": ["templates/*"],
    },
    python_requires=">=3.11",
    install_requires=[
        "keras>=3.12",
        "numpy",
        "grain",
        "pillow",
        "tokenizers",
    ],
    extras_require={
        "jax": JAX,
        "tensorflow": TENSORFLOW,
        "torch": TORCH,
        "hub": HUB,
        "guides": GUIDES,
        "plots": PLOTS,
        "parquet": PARQUET,
        "report": REPORT,
        "wandb": ["wandb>=0.17"],
        "ray": RAY,
        "dev": DEV,
    },
    classifiers=[
        "License :: OSI Approved :: Apache Software License",
        "Programming Language :: Python :: 3.11",
        "Programming Language :: Python :: 3.12",
        "Programming Language :: Python :: 3.13",
        "Topic :: Scientific/Engineering :: Artificial Intelligence",
    ],
)
