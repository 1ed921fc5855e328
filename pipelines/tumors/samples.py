"""The tumours: the breast-cancer data of Wisconsin, which ships in scikit-learn (569 cell samples, 30 measurements).

Source: W. Wolberg, W. N. Street, O. Mangasarian: Breast Cancer Wisconsin (Diagnostic), UCI Machine Learning Repository,
CC BY 4.0; the copy in `sklearn.datasets.load_breast_cancer`.
"""

from __future__ import annotations

import pandas as pd
from sklearn.datasets import load_breast_cancer

LABEL = "malignant"


def load() -> pd.DataFrame:
    """All rows: the label first (1 malignant, 212 of them; 0 benign), then the measurements, named as in the schema.

    scikit-learn labels the benign ones 1; here 1 is what is looked for.
    """
    data = load_breast_cancer(as_frame=True)
    frame = data.data.rename(columns=lambda name: name.replace(" ", "_"))
    frame.insert(0, LABEL, 1 - data.target)
    return pd.DataFrame(frame)
