"""Names of classes and diagnoses, as tables and folders have them, and our class of each.

HAM10000's classes: Tschandl et al., Sci Data 5, 180161 (2018). ISIC's challenge of 2019 calls akiec AK, and has SCC and
UNK besides. Diagnoses in words: the ISIC archive's vocabulary.
"""

from lesions.labels import CLASSES

OTHERS = ("scc", "unk")
"""Known classes that are none of ours: invasive squamous cell carcinoma, and none of the others."""

_DIAGNOSES = {
    "akiec": (
        "ak",
        "actinic keratosis",
        "solar keratosis",
        "solar or actinic keratosis",
        "bowen disease",
        "bowen's disease",
        "intraepithelial carcinoma",
        "squamous cell carcinoma in situ",
    ),
    "bcc": ("basal cell carcinoma",),
    "bkl": (
        "bk",
        "benign keratosis",
        "pigmented benign keratosis",
        "seborrheic keratosis",
        "seborrhoeic keratosis",
        "solar lentigo",
        "lichen planus like keratosis",
        "lichenoid keratosis",
    ),
    "df": ("dermatofibroma",),
    "mel": ("melanoma", "melanoma in situ", "melanoma invasive", "lentigo maligna"),
    "nv": ("nevus", "naevus", "melanocytic nevus", "blue nevus", "spitz nevus", "dysplastic nevus", "atypical nevus"),
    "vasc": (
        "vascular lesion",
        "vascular",
        "hemangioma",
        "haemangioma",
        "angioma",
        "cherry angioma",
        "angiokeratoma",
        "pyogenic granuloma",
        "hemorrhage",
    ),
    "scc": ("squamous cell carcinoma", "squamous cell carcinoma invasive", "invasive squamous cell carcinoma"),
    "unk": ("unknown", "other", "none of the others"),
}
_CLASS = {name: name for name in (*CLASSES, *OTHERS)} | {
    diagnosis: name for name, diagnoses in _DIAGNOSES.items() for diagnosis in diagnoses
}


def class_of(diagnosis: str) -> str | None:
    """One of `CLASSES` or `OTHERS`, for a class or a diagnosis in any case; none where it is not known.

    What follows a comma is a subtype: `Nevus, Spitz` is a nevus.
    """
    return _CLASS.get(" ".join(diagnosis.partition(",")[0].lower().replace("_", " ").replace("-", " ").split()))


def class_named(name: str) -> str | None:
    """One of `CLASSES` or `OTHERS`, for its short name in any case: `MEL`, `AK`; none for other names."""
    return class_of(name) if name.lower() in (*CLASSES, *OTHERS, "ak") else None
