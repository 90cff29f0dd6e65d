"""A picture for the call that `make serve` prints."""

from pathlib import Path

from lesions.files import atomic_write
from lesions.index import DataError
from zoo.study import Folders, StudyError


def sample(folders: Folders) -> Path | None:
    """One picture of the study's data, written beside the server's files; none where its data is not to be had."""
    from lesions.sources import open_source

    try:
        study = folders.read()
        data = open_source(folders.source(study), study.scc)
        image = data.index.images[0]
        content = data.read(image)
    except (DataError, StudyError):  # the data may be gone, or elsewhere; the models are not
        return None
    file = folders.serve / f"sample{Path(data.where(image)).suffix.lower()}"
    atomic_write(file, content)
    return file
