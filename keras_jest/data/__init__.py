"""Image-text data: shards, own files, decoding, tokenizing, super-batches."""

from keras_jest.data.caption_table import CaptionTable
from keras_jest.data.captioned_folder import CaptionedFolder
from keras_jest.data.decode_image import decode_image
from keras_jest.data.hugging_face_records import HuggingFaceRecords
from keras_jest.data.load_arrays import load_arrays
from keras_jest.data.record_key import key_to_hex
from keras_jest.data.record_key import record_key
from keras_jest.data.recording import export_subset
from keras_jest.data.recording import recorded_rows
from keras_jest.data.recording import recorded_settings
from keras_jest.data.reference_store import ReferenceStore
from keras_jest.data.replay import Replay
from keras_jest.data.super_batches import super_batches
from keras_jest.data.tar_shards import TarShards
from keras_jest.data.tokenizer import Tokenizer
