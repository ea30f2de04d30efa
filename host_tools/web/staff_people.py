"""The clerk's pages about people: entering them, lists in and out, and what is held of one."""

from starlette.responses import Response
from starlette.routing import Route

from host_tools.errors import UserError
from host_tools.fleet.people import KINDS, Unit
from host_tools.matching.explanation import explain_kept

from .site import Visit, done, staff


def _people(visit: Visit) -> Response:
    imported = (visit.number("persons"), visit.number("assigned")) if visit.query("persons") else None
    return visit.page("people", kinds=KINDS, may_change=visit.account.may("change fleet"), imported=imported)


def _find(visit: Visit) -> Response:
    person_id = visit.office.people.find(visit.form.get("staff_number", ""))
    if person_id is None:
        raise UserError("Nobody has this staff number. Nothing was changed.")
    return done(f"/people/{person_id}", done="")


def _enter(visit: Visit) -> Response:
    form = visit.form
    agency = form.get("agency", "").strip()
    unit = Unit(agency, form.get("district", ""), form.get("kind", "other")) if agency else None
    person_id = visit.office.people.enter(
        visit.actor, form.get("staff_number", ""), form.get("name", ""), unit, form.get("address", "")
    )
    return done(f"/people/{person_id}")


def _import(visit: Visit) -> Response:
    brought = visit.office.staff_csv.bring_in(visit.actor, visit.files.get("list", b""))
    return done("/people", done="", persons=str(brought.persons), assigned=str(brought.assigned))


def _export(visit: Visit) -> Response:
    return Response(
        visit.office.staff_csv.bring_out(visit.actor),
        media_type="text/csv; charset=utf-8",
        headers={"content-disposition": 'attachment; filename="staff.csv"'},
    )


def _person(visit: Visit) -> Response:
    held = visit.office.privacy.held(visit.actor, visit.path("person"))
    return visit.page(
        "person",
        held=held,
        reasons=explain_kept(held.days, visit.site.rules, visit.office.now()),
        results=visit.account.may("see results"),
        keep_days=visit.office.privacy.days(),
    )


def _forget(visit: Visit) -> Response:
    person_id, what = visit.path("person"), visit.form.get("what", "")
    if what == "contacts":
        visit.office.privacy.forget_contacts(visit.actor, person_id)
        return done(f"/people/{person_id}")
    if what == "all":
        visit.office.privacy.erase(visit.actor, person_id)
        return done("/people")
    raise UserError("Say what is to be deleted. Nothing was changed.")


ROUTES = [
    Route("/people", staff("see people", _people)),
    Route("/people", staff("change fleet", _enter), methods=["POST"]),
    Route("/people/find", staff("see people", _find), methods=["POST"]),
    Route("/people/import", staff("change fleet", _import), methods=["POST"]),
    Route("/people/export", staff("change fleet", _export), methods=["POST"]),
    Route("/people/{person:int}", staff("see people", _person)),
    Route("/people/{person:int}", staff("change fleet", _forget), methods=["POST"]),
]
