"""The seven classes of HAM10000 (thesis section 2; Tschandl et al., Sci Data 5, 180161, 2018). Copied into archives."""

CLASSES: tuple[str, ...] = ("akiec", "bcc", "bkl", "df", "mel", "nv", "vasc")
"""Class names in the order of the network's outputs (alphabetical, as torchvision's ImageFolder has them)."""

DIAGNOSES: dict[str, str] = {
    "akiec": "actinic keratosis or intraepithelial carcinoma",
    "bcc": "basal cell carcinoma",
    "bkl": "benign keratosis",
    "df": "dermatofibroma",
    "mel": "melanoma",
    "nv": "melanocytic nevus",
    "vasc": "vascular lesion",
}
"""The diagnosis behind each class name."""
NOTICE = "For research only: not a medical device, not for diagnosis."  # part of every answer of a model
DATA_LICENSE = "CC BY-NC 4.0"  # the license of HAM10000, and so of every model that is trained on it
UNKNOWN_LICENSE = "not known here; ask the owner of the data"  # of data that are neither HAM10000 nor the phantom
MIXED_LICENSE = f"{DATA_LICENSE} for the images of HAM10000 among them; for the others {UNKNOWN_LICENSE}"
