"""models/data/penguins.csv from the Palmer penguins that the package palmerpenguins ships."""

import csv

from models._data import DATA

SPLIT_SEED = 7
COLUMNS = {
    "Species": "species",
    "studyName": "study",
    "Island": "island",
    "Sex": "sex",
    "Culmen Length (mm)": "bill_length_mm",
    "Culmen Depth (mm)": "bill_depth_mm",
    "Flipper Length (mm)": "flipper_length_mm",
    "Body Mass (g)": "body_mass_g",
}


def write() -> None:
    """Store the penguins that were measured, a quarter of each species held out; an unknown sex stays empty."""
    from palmerpenguins import load_penguins_raw
    from sklearn.model_selection import train_test_split

    found = load_penguins_raw()[list(COLUMNS)].rename(columns=COLUMNS).dropna(subset=["body_mass_g"])
    found["species"] = found["species"].str.split().str[0]
    found["sex"] = found["sex"].fillna("").str.lower()
    for whole in ("flipper_length_mm", "body_mass_g"):
        found[whole] = found[whole].astype(int)
    _, quarter = train_test_split(found.index, test_size=0.25, stratify=found["species"], random_state=SPLIT_SEED)
    found.insert(0, "part", ["held_out" if row in set(quarter) else "train" for row in found.index])
    target = DATA / "penguins.csv"
    found.to_csv(target, index=False, quoting=csv.QUOTE_MINIMAL, lineterminator="\n")
    print(f"{target.name}: {len(found)} penguins, {len(quarter)} held out, {target.stat().st_size} bytes")
