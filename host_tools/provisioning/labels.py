"""Sheets of labels for tokens: the six letters of the short code, and the same as a QR code, nothing else.

A4, 5 columns of 11 labels, each 38.1 × 21.2 mm, as label sheets are sold. SPEC.md, "Label".
"""

import io
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import segno

from host_tools.errors import UserError

_PAGE_MM = (210.0, 297.0)
_COLUMNS, _ROWS = 5, 11
_LABEL_MM = (38.1, 21.2)
_STEP_MM = (38.1, 21.2)
_FIRST_MM = ((_PAGE_MM[0] - _COLUMNS * _STEP_MM[0]) / 2, (_PAGE_MM[1] - _ROWS * _STEP_MM[1]) / 2)
_QR_MM = 15.0  # with its quiet zone of four modules
_MARGIN_MM = 2.0
_FONT_MM = 4.2
_PER_PAGE = _COLUMNS * _ROWS
_POINTS_PER_MM = 72 / 25.4

Placed = tuple[str, float, float]  # short code, and the label's left and top edge in mm


def qr_modules(code: str) -> list[tuple[int, int]]:
    """The dark modules of a short code's QR symbol, (column, row), with the quiet zone counted."""
    rows = enumerate(_qr(code).matrix_iter(scale=1, border=4))
    return [(column, y) for y, row in rows for column, dark in enumerate(row) if dark]


def write_labels(codes: Sequence[str], out: Path) -> int:
    """Write labels to `out`, a .pdf or .svg; an SVG holds one sheet.

    Args:
        codes: short codes, in the order in which they go on the sheets.

    Returns:
        How many sheets.

    Raises:
        UserError: no labels, another kind of file, too many for an SVG, or it cannot be written.
    """
    sheets = list(_sheets(codes))
    writers: dict[str, Callable[[list[list[Placed]]], bytes]] = {".pdf": _pdf, ".svg": _svg}
    writer = writers.get(out.suffix.lower())
    if writer is None:
        raise UserError(f"Labels are written as .pdf or .svg, not {out.name}. Nothing was written.")
    if not sheets or (writer is _svg and len(sheets) > 1):
        raise UserError(
            f"{len(codes)} labels do not make one sheet: an SVG holds 1 to {_PER_PAGE}. Nothing was written; a PDF may "
            "have many sheets."
        )
    try:
        out.write_bytes(writer(sheets))
    except OSError as error:
        raise UserError(f"The labels {out} cannot be written: {error.strerror}. Name another file.") from error
    return len(sheets)


def _sheets(codes: Sequence[str]) -> Iterator[list[Placed]]:
    for first in range(0, len(codes), _PER_PAGE):
        yield [
            (code, _FIRST_MM[0] + place % _COLUMNS * _STEP_MM[0], _FIRST_MM[1] + place // _COLUMNS * _STEP_MM[1])
            for place, code in enumerate(codes[first : first + _PER_PAGE])
        ]


def _qr(code: str) -> segno.QRCode:
    return segno.make_qr(code, error="m", boost_error=True)


def _module_mm(code: str) -> float:
    return _QR_MM / _qr(code).symbol_size(border=4)[0]


def _svg(sheets: list[list[Placed]]) -> bytes:
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{_PAGE_MM[0]:g}mm" height="{_PAGE_MM[1]:g}mm" '
        f'viewBox="0 0 {_PAGE_MM[0]:g} {_PAGE_MM[1]:g}"><rect width="100%" height="100%" fill="#fff"/>'
    ]
    for code, left, top in sheets[0]:
        size = _module_mm(code)
        qr_top = (_LABEL_MM[1] - _QR_MM) / 2
        path = "".join(f"M{x},{y}h1v1h-1z" for x, y in qr_modules(code))
        lines.append(
            f'<g transform="translate({left:.2f} {top:.2f})" aria-label="{code}">'
            f'<path transform="translate({_MARGIN_MM:g} {qr_top:g}) scale({size:.4f})" d="{path}"/>'
            f'<text x="{_MARGIN_MM + _QR_MM:g}" y="{(_LABEL_MM[1] + _FONT_MM * 0.7) / 2:.2f}" '
            f'font-family="monospace" font-weight="bold" font-size="{_FONT_MM:g}">{code}</text></g>'
        )
    return "\n".join([*lines, "</svg>\n"]).encode()


def _pdf(sheets: list[list[Placed]]) -> bytes:
    from reportlab.pdfgen.canvas import Canvas

    out = io.BytesIO()
    pdf = Canvas(out, pagesize=(_PAGE_MM[0] * _POINTS_PER_MM, _PAGE_MM[1] * _POINTS_PER_MM), invariant=1)
    pdf.setTitle("Bluezone tokens")
    for sheet in sheets:
        pdf.scale(_POINTS_PER_MM, _POINTS_PER_MM)
        for code, left, top in sheet:
            size = _module_mm(code)
            middle = _PAGE_MM[1] - top - _LABEL_MM[1] / 2  # PDF counts from the bottom
            for x, y in qr_modules(code):
                pdf.rect(
                    left + _MARGIN_MM + x * size, middle + _QR_MM / 2 - (y + 1) * size, size, size, stroke=0, fill=1
                )
            pdf.setFont("Courier-Bold", _FONT_MM)
            pdf.drawString(left + _MARGIN_MM + _QR_MM, middle - _FONT_MM * 0.35, code)
        pdf.showPage()
    pdf.save()
    return out.getvalue()
