"""Names of classes and diagnoses, as tables have them."""

import pytest

from lesions.labels import CLASSES, DIAGNOSES
from lesions.sources.diagnoses import class_named, class_of


@pytest.mark.parametrize(
    ("name", "diagnoses"),
    [
        ("akiec", "AKIEC, ak, Solar or actinic keratosis, Squamous cell carcinoma in situ, Bowen disease"),
        ("bcc", "Basal cell carcinoma"),
        ("bkl", "Seborrheic keratosis, Pigmented benign keratosis, Solar lentigo, Lichen planus like keratosis"),
        ("bkl", "lichen planus-like keratosis, seborrheic_keratosis"),
        ("df", "Dermatofibroma"),
        ("mel", "Melanoma, Melanoma in situ, Melanoma Invasive"),
        ("nv", "Nevus, nevus , NAEVUS, melanocytic  nevus"),
        ("vasc", "Hemangioma, Angioma, Angiokeratoma, Pyogenic granuloma, vascular lesion"),
        ("scc", "SCC, Squamous cell carcinoma"),
        ("unk", "UNK, unknown"),
    ],
)
def test_diagnoses_of_a_class(name: str, diagnoses: str) -> None:
    assert {class_of(diagnosis) for diagnosis in diagnoses.split(", ")} == {name}


def test_what_follows_a_comma_is_a_subtype() -> None:
    subtypes = {
        "Melanoma, NOS": "mel",
        "Nevus, Atypical, Dysplastic, or Clark": "nv",
        "Squamous cell carcinoma, NOS": "scc",
        "Basal cell carcinoma, Nodular": "bcc",
        "Squamous cell carcinoma in situ, Bowen's disease": "akiec",
    }
    assert {diagnosis: class_of(diagnosis) for diagnosis in subtypes} == subtypes


def test_other_diagnoses_are_not_known() -> None:
    assert {class_of(name) for name in ("", "Benign", "nevus sebaceous", "Melanoma metastasis", "wart", ",")} == {None}


def test_folders_have_short_names() -> None:
    assert [class_named(name.title()) for name in CLASSES] == list(CLASSES)
    assert (class_named("AK"), class_named("SCC"), class_named("melanoma")) == ("akiec", "scc", None)
    assert [class_of(name) for name in ("melanoma", DIAGNOSES["nv"], DIAGNOSES["vasc"])] == ["mel", "nv", "vasc"]
