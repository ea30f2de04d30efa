"""The clerk's pages about tokens: the fleet, one token with its history, its label, and each unit's share."""

from starlette.responses import HTMLResponse, Response
from starlette.routing import Route

from host_tools.errors import UserError
from host_tools.fleet.beginning import begun
from host_tools.fleet.label import label_svg
from host_tools.fleet.ledger import STATES, LedgerError, State
from host_tools.fleet.listing import PAGE

from .site import Visit, done, staff

_FEW = 10  # units on the overview: those that lag behind


def _overview(visit: Visit) -> Response:
    office = visit.office
    shares = office.listing.shares()
    listed = visit.site.cases
    return visit.page(
        "overview",
        cases=len(listed.cases.cases),
        list=listed,
        status=listed.status,
        shares=sorted(shares, key=lambda share: share.percent),
        few=_FEW,
        begun=begun(office.database),
        tokens=sum(share.tokens for share in shares),
        recent=sum(share.recent for share in shares),
        alerts=len(office.alerts.open_ones()) if visit.account.may("see results") else None,
        troubles=visit.site.screen.troubles,
    )


def _tokens(visit: Visit) -> Response:
    wanted = visit.query("state")
    state: State | None = next((known for known in STATES if known == wanted), None)
    unit = visit.number("unit")
    offset = visit.number("from")
    search = visit.query("q")[:100]
    names = visit.account.may("see people")
    found = visit.office.listing.page(visit.actor, search, state, unit or None, offset, people=names)
    return visit.page(
        "tokens",
        found=found,
        search=search,
        state=state or "",
        states=STATES,
        unit=unit,
        units=visit.office.people.units(),
        page_length=PAGE,
        names=names,
    )


def _serial(visit: Visit) -> bytes:
    try:
        return bytes.fromhex(visit.path("serial"))
    except ValueError:
        raise LedgerError("A serial has 16 hex digits. Nothing was changed.") from None


def _token(visit: Visit) -> Response:
    serial = _serial(visit)
    standing = visit.office.ledger.standing(serial)
    person = None
    if standing.person_id is not None and visit.account.may("see people"):
        person = visit.office.people.look_at(visit.actor, standing.person_id)
    return visit.page(
        "token",
        standing=standing,
        person=person,
        history=visit.office.listing.history(visit.actor, serial),
    )


def _label(visit: Visit) -> Response:
    serial = _serial(visit)
    visit.office.ledger.standing(serial)
    return HTMLResponse(label_svg(serial), media_type="image/svg+xml")


def _deed(visit: Visit) -> Response:
    serial, deed, ledger = _serial(visit), visit.form.get("deed", ""), visit.office.ledger
    simple = {"return": ledger.take_back, "lose": ledger.lose, "revoke": ledger.revoke, "wipe": ledger.wipe}
    if deed in simple:
        simple[deed](visit.actor, serial)
    elif deed == "assign":
        ledger.assign(visit.actor, serial, _person(visit))
    elif deed == "replace":
        why = visit.form.get("why", "")
        if why not in ("return", "lose", "revoke"):
            raise LedgerError("Say what becomes of the old token. Nothing was changed.")
        ledger.replace(visit.actor, serial, ledger.serial(visit.form.get("new", "")), why)
    else:
        raise LedgerError("There is no such deed. Nothing was changed.")
    return done(f"/tokens/{serial.hex()}")


def _person(visit: Visit) -> int:
    staff_number = visit.form.get("staff_number", "")
    person_id = visit.office.people.find(staff_number)
    if person_id is None:
        raise UserError(f"Nobody has staff number {staff_number!r}. Nothing was changed. Enter the person first.")
    return person_id


def _register(visit: Visit) -> Response:
    try:
        serial = bytes.fromhex(visit.form.get("serial", "").strip())
    except ValueError:
        raise LedgerError("A serial has 16 hex digits. Nothing was changed.") from None
    visit.office.ledger.register(visit.actor, serial)
    return done(f"/tokens/{serial.hex()}")


OVERVIEW = staff(None, _overview)
ROUTES = [
    Route("/tokens", staff("see fleet", _tokens)),
    Route("/tokens", staff("change fleet", _register, _tokens), methods=["POST"]),
    Route("/tokens/{serial}", staff("see fleet", _token)),
    Route("/tokens/{serial}", staff("change fleet", _deed, _token), methods=["POST"]),
    Route("/tokens/{serial}/label.svg", staff("see fleet", _label)),
]
