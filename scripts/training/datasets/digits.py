"""models/data/digits.npz from the handwritten digits that scikit-learn ships."""

import numpy as np

from models._data import DATA

SPLIT_SEED = 7


def write() -> None:
    """Store images, labels and a stratified quarter held out."""
    from sklearn.datasets import load_digits
    from sklearn.model_selection import train_test_split

    found = load_digits()
    rows = np.arange(len(found.target))
    _, quarter = train_test_split(rows, test_size=0.25, stratify=found.target, random_state=SPLIT_SEED)
    target = DATA / "digits.npz"
    np.savez_compressed(
        target,
        allow_pickle=False,
        images=found.images.astype(np.uint8),
        labels=found.target.astype(np.uint8),
        held_out=np.isin(rows, quarter),
    )
    print(f"{target.name}: {len(rows)} digits, {len(quarter)} held out, {target.stat().st_size} bytes")
