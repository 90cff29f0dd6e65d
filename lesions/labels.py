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
"""What each class name stands for."""

NOTICE = "For research only: not a medical device, not for diagnosis."
"""Goes with every answer that a model gives."""

DATA_LICENSE = "CC BY-NC 4.0"
"""The license of HAM10000, and so of what was trained on it."""
