"""The health officer's pages about somebody found positive: the token's keys and history, for the health authority."""

from anyio import from_thread
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from host_tools.errors import UserError
from host_tools.fleet.ledger import LedgerError
from host_tools.fleet.office import Office
from host_tools.fleet.periods import periods
from host_tools.kiosk.release_desk import UNDER_WAY, ReleaseError

from .site import STAFF, Visit, done, staff

_LOOK_AGAIN_S = {"waiting": 5, "reading": 2, "checking": 2}
_AWAY = ("lost", "revoked", "returned")

# The releases belong to the kiosk's event loop; these handlers work in threads.


def _releases(visit: Visit) -> Response:
    handovers = from_thread.run_sync(visit.site.releases.all)
    return visit.page("releases", handovers=handovers, token=visit.typed("token", visit.query("token")[:40]))


def _begin(visit: Visit) -> Response:
    serial = _named(visit.office, visit.form.get("token", ""))
    state = visit.office.ledger.standing(serial).state
    if state in _AWAY:
        raise ReleaseError(
            f"By the ledger this token is {state}, and not for whoever holds it. Nothing was begun. If that is wrong, "
            "the clerk enters what is right."
        )
    handover = from_thread.run(visit.site.releases.begin, visit.actor, serial)
    return RedirectResponse(f"{STAFF}/release/{handover.number}", 303)


def _named(office: Office, text: str) -> bytes:
    """The token of a label, a serial or a staff number; the label comes first."""
    try:
        return office.ledger.serial(text)
    except LedgerError:
        person_id = office.people.find(text)
        if person_id is None:
            raise
    with office.database.reading() as connection:
        serials = [period.serial for period in periods(connection, person_id=person_id) if period.until_s is None]
    if len(serials) != 1:
        raise ReleaseError(
            f"The person with staff number {text.strip()!r} has {len(serials)} tokens. Nothing was begun. Name the "
            "token by the six letters on its label."
        )
    return serials[0]


def _release(visit: Visit) -> Response:
    site = visit.site
    handover = from_thread.run_sync(site.releases.look, visit.path("number"))
    standing = site.office.ledger.standing(handover.serial)
    practice = ""
    if site.practice is not None and handover.state == "code":
        practice = site.practice(handover.serial, handover.challenge)
    answer = visit.page("release", handover=handover, standing=standing, practice=practice, under_way=UNDER_WAY)
    again_s = _LOOK_AGAIN_S.get(handover.state)
    if handover.state == "code":  # not while somebody types, but when it is too late
        again_s = max(handover.until_s - site.office.now(), 0) + 2
    if again_s is not None:
        answer.headers["refresh"] = f"{again_s}; url={visit.request.url.path}"
    return answer


def _deed(visit: Visit) -> Response:
    number, what = visit.path("number"), visit.form.get("what", "")
    if what == "code":
        from_thread.run_sync(visit.site.releases.enter_code, visit.actor, number, visit.form.get("code", ""))
        return RedirectResponse(f"{STAFF}/release/{number}", 303)
    if what == "cancel":
        from_thread.run(visit.site.releases.cancel, visit.actor, number)
        return done("/release")
    raise UserError("There is no such deed. Nothing was changed.")


def _file(visit: Visit) -> Response:
    handover = from_thread.run_sync(visit.site.releases.look, visit.path("number"))
    file = from_thread.run(visit.site.releases.fetch, visit.actor, handover.number)
    disposition = f'attachment; filename="release-{handover.code}.json"'
    return Response(file, media_type="application/json", headers={"content-disposition": disposition})


ROUTES = [
    Route("/release", staff("release", _releases)),
    Route("/release", staff("release", _begin, _releases), methods=["POST"]),
    Route("/release/{number:number}", staff("release", _release)),
    Route("/release/{number:number}", staff("release", _deed, _release), methods=["POST"]),
    Route("/release/{number:number}/file", staff("release", _file, _release), methods=["POST"]),
]
