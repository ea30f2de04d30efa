"""The label of a token: its six letters, and the same as a QR code for a scanner. Nothing else stands on it."""

import io

import segno

from tracing import wire

_MODULE = 4  # units of the drawing
_BORDER = 4  # modules; the standard asks for four
_TEXT_HEIGHT = 34


def label_svg(serial: bytes) -> str:
    """An SVG that may be printed at any size from 12 mm on.

    Args:
        serial: 8 bytes.
    """
    code = wire.short_code(serial)
    qr = segno.make(code, error="h", micro=False)
    out = io.BytesIO()
    qr.save(out, kind="svg", scale=_MODULE, border=_BORDER, xmldecl=False, svgns=False, omitsize=True)
    width, height = qr.symbol_size(scale=_MODULE, border=_BORDER)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height + _TEXT_HEIGHT}" role="img" '
        f'aria-label="{code}"><rect width="100%" height="100%" fill="#fff"/>'
        f'<svg width="{width}" height="{height}" viewBox="0 0 {width} {height}">{out.getvalue().decode().strip()}</svg>'
        f'<text x="{width // 2}" y="{height + 12}" text-anchor="middle" font-family="monospace" font-weight="bold" '
        f'font-size="24" letter-spacing="2">{code}</text></svg>\n'
    )


def code(serial: bytes) -> str:
    """The six letters."""
    return wire.short_code(serial)
