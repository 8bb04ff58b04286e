"""SavedModels that several of these tests look at."""

from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def table(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A SavedModel with a table that is filled from an asset."""
    tf = pytest.importorskip("tensorflow")
    directory = tmp_path_factory.mktemp("table")
    words = directory / "words.txt"
    words.write_text("a\nb\n")
    module = tf.Module()
    rows = tf.lookup.TextFileInitializer(
        str(words), tf.string, tf.lookup.TextFileIndex.WHOLE_LINE, tf.int64, tf.lookup.TextFileIndex.LINE_NUMBER
    )
    module.table = tf.lookup.StaticHashTable(rows, -1)
    serve = tf.function(
        lambda x: {"y": module.table.lookup(x)}, input_signature=[tf.TensorSpec((None,), tf.string, name="x")]
    )
    tf.saved_model.save(module, str(directory / "m"), signatures=serve.get_concrete_function())
    return directory / "m"
