"""What README and docs say can be done, can be done: links, targets, keys, figures."""

import re
from pathlib import Path

import pytest
from PIL import Image

from tests.handlers.real_server import make, network_of
from zoo import load
from zoo.entry import catalog
from zoo.study import ROOT

PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "SECURITY.md", *sorted((ROOT / "docs").glob("*.md"))]
PAGES += [ROOT / "deploy" / "README.md"]

LINK = re.compile(r"\]\(([^)\s]+)\)")

BLOCK = re.compile(r"^```(\w*)\n(.*?)^```", re.MULTILINE | re.DOTALL)
"""A fenced block: its language and its lines."""


def name_of(page: Path) -> str:
    return str(page.relative_to(ROOT))


def anchors(page: Path) -> set[str]:
    """The anchors of a page's headings, as GitHub and MkDocs make them."""
    included = re.sub(r'--8<-- "(.*)"', lambda name: (ROOT / name[1]).read_text(), page.read_text())
    headings = re.findall(r"^#+ (.+)$", BLOCK.sub("", included), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def test_readme_can_be_read_in_a_minute() -> None:
    assert len((ROOT / "README.md").read_text().splitlines()) <= 92


def test_the_front_page_begins_as_the_readme_does() -> None:
    readme, index = (page.read_text() for page in (ROOT / "README.md", ROOT / "docs" / "index.md"))
    assert next(code for language, code in BLOCK.findall(readme) if language == "python") in index


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_python_blocks_compile(page: Path) -> None:
    blocks = [code for language, code in BLOCK.findall(page.read_text()) if language == "python"]
    for code in blocks:
        if page.name != "CONTRIBUTING.md":  # there, lines of larger pieces
            compile(code, page.name, "exec")
    assert blocks or page != ROOT / "README.md"


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_imports_of_python_blocks_exist(page: Path) -> None:
    if page.name == "CONTRIBUTING.md":
        return
    for language, code in BLOCK.findall(page.read_text()):
        lines = code.splitlines() if language == "python" else []
        exec("\n".join(line for line in lines if re.match(r"(from|import) ", line)), {})


def test_the_readme_runs_a_model_with_plain_onnxruntime(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    readme = (ROOT / "README.md").read_text()
    [code] = [
        code
        for language, code in BLOCK.findall(readme)
        if language == "python" and "onnxruntime.InferenceSession" in code
    ]
    assert len([line for line in code.splitlines() if line]) <= 10
    archives = tmp_path / "model_store" / "phantom-demo"
    make(archives, "transfer", network_of(0))
    Image.effect_noise((90, 70), 80).convert("RGB").save(tmp_path / "mole.jpg")
    monkeypatch.chdir(tmp_path)
    exec(code.replace("print(", "printed = ("), scope := {})  # type: ignore[var-annotated]
    prediction = load(archives / "transfer.mar").predict("mole.jpg")
    assert scope["printed"][0].tolist() == pytest.approx(list(prediction.probabilities.values()), abs=1e-6)


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_links_point_to_files_and_headings(page: Path) -> None:
    for link in LINK.findall(BLOCK.sub("", page.read_text())):
        if link.startswith("https://"):
            continue
        target, _, anchor = link.partition("#")
        file = (page.parent / target).resolve() if target else page
        assert file.exists(), link
        assert not anchor or anchor in anchors(file), link


def test_pages_of_the_site_exist_and_none_is_forgotten() -> None:
    navigation = (ROOT / "mkdocs.yml").read_text().partition("\nnav:\n")[2].partition("\nnot_in_nav:")[0]
    pages = set(re.findall(r"([\w/-]+\.md)$", navigation, re.MULTILINE))
    assert pages == {page.name for page in PAGES if page.parent.name == "docs"} | {
        "sagan/README.md",
        "projected/README.md",
    }


def test_targets_exist_in_the_makefile_and_are_listed() -> None:
    targets = set(re.findall(r"^([a-z-]+):.*?## ", (ROOT / "Makefile").read_text(), re.MULTILINE))
    assert len(targets) > 20
    for page in PAGES:
        code = "\n".join(
            [*re.findall(r"`(make [^`]+)`", page.read_text()), *(c for _, c in BLOCK.findall(page.read_text()))]
        )
        named = set(re.findall(r"^make ([a-z][a-z-]*)\b", code, re.MULTILINE))
        assert named <= targets, page.name
    listed = (ROOT / "docs" / "getting-started.md").read_text()
    assert not {target for target in targets if f"| `make {target}" not in listed}


def test_every_key_and_every_entry_is_on_the_page_of_experiments() -> None:
    page = (ROOT / "docs" / "experiments.md").read_text()
    entries = catalog()
    for name in entries:
        assert f"| [`{name}`](cards/{name}.md) |" in page
    for schema in {type(entry) for entry in entries.values()}:
        kind = schema.__name__.lower()
        heading = f"## Options of {'an' if kind[0] in 'aeiou' else 'a'} {kind}\n"
        table = page.partition(heading)[2].partition("\n## ")[0]
        assert set(re.findall(r"^\| `(\w+)` \|", table, re.MULTILINE)) == schema.model_fields.keys()


def test_every_setting_of_a_study_is_on_the_page_of_experiments() -> None:
    settings = re.findall(r"^STUDY_SETTINGS := (.*)$", (ROOT / "Makefile").read_text(), re.MULTILINE)[0].split()
    table = (ROOT / "docs" / "experiments.md").read_text().partition("## Settings of a study\n")[2]
    assert [row for row in re.findall(r"^\| `(\w+)` \|", table, re.MULTILINE) if row in settings] == settings


def test_figures_of_the_readme_are_those_of_the_records() -> None:
    [study] = set(re.findall(r"docs/results/(.+?)/macro_f1.png", (ROOT / "README.md").read_text()))
    results = (ROOT / "docs" / "results.md").read_text().partition(f"\n## {study}\n")[2].partition("\n## ")[0]
    rows = re.findall(r"^\| `(\w+)`.*? \| (0\.\d+) \| (.+) \|$", (ROOT / "README.md").read_text(), re.MULTILINE)
    assert len(rows) >= 5
    for entry, thesis, ours in rows:
        value, interval = ours.split(" ", 1)
        row = next(line for line in results.splitlines() if re.match(rf"\| [\d.]+ \| `{entry}` \|", line))
        assert f"| {thesis} |" in row
        assert f"| **{value}** {interval} |" in row
