"""A line for the user, where Keras' callbacks write theirs."""

import sys

import keras


def show_message(text):
    """Write to the terminal, or to the log where Keras is told to."""
    if keras.config.is_interactive_logging_enabled():
        sys.stdout.write(f"{text}\n")
        sys.stdout.flush()
    else:
        from absl import logging

        logging.info(text)
