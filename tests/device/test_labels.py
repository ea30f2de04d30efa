"""Label sheets: what stands on them, and where."""

import re
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest
import segno

from host_tools.errors import UserError
from host_tools.provisioning.labels import qr_modules, write_labels

CODES = [f"AB{first}{second}CD" for first in "ABCDEFGH" for second in "ABCDEFGH"]  # 64
SVG = "{http://www.w3.org/2000/svg}"


def test_the_qr_code_is_the_short_code_and_nothing_else() -> None:
    wanted = segno.make_qr("K7MPXQ", error="m")
    dark = {(x, y) for y, row in enumerate(wanted.matrix, 4) for x, module in enumerate(row, 4) if module}
    assert set(qr_modules("K7MPXQ")) == dark


def test_an_svg_sheet(tmp_path: Path) -> None:
    out = tmp_path / "labels.svg"
    assert write_labels(CODES[:55], out) == 1
    root = ET.fromstring(out.read_text())
    labels = root.findall(f"{SVG}g")
    assert [label.get("aria-label") for label in labels] == CODES[:55]
    assert [label.findtext(f"{SVG}text") for label in labels] == CODES[:55]
    places = {tuple(map(float, re.findall(r"[\d.]+", str(label.get("transform"))))) for label in labels}
    assert len(places) == 55
    assert all(x >= 0 and x + 38.1 <= 210 and y >= 0 and y + 21.2 <= 297 for x, y in places)
    path = labels[0].find(f"{SVG}path")
    assert path is not None
    drawn = [(int(x), int(y)) for x, y in re.findall(r"M(\d+),(\d+)h1v1h-1z", str(path.get("d")))]
    assert drawn == qr_modules(CODES[0])


def test_a_pdf_has_as_many_sheets_as_it_takes_and_is_always_the_same(tmp_path: Path) -> None:
    first, second = tmp_path / "a.pdf", tmp_path / "b.PDF"
    assert write_labels(CODES, first) == 2
    assert write_labels(CODES, second) == 2
    data = first.read_bytes()
    assert data == second.read_bytes()
    assert data.startswith(b"%PDF-")
    assert len(re.findall(rb"/Type /Page\b", data)) == 2


@pytest.mark.parametrize(
    ("codes", "name", "sentence"),
    [
        (CODES, "labels.svg", "64 labels do not make one sheet: an SVG holds 1 to 55"),
        ([], "labels.pdf", "0 labels do not make one sheet"),
        (CODES, "labels.docx", r"as \.pdf or \.svg, not labels\.docx"),
        (CODES, "none/labels.pdf", "cannot be written: No such file"),
    ],
)
def test_labels_that_cannot_be_made(codes: list[str], name: str, sentence: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=sentence):
        write_labels(codes, tmp_path / name)
