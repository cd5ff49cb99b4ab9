"""Beside `small_models.py`: tests in folders below find it, run alone, too."""
