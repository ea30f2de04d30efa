"""The clerk's pages about people: entering them, lists in and out, and what is held of one."""

from starlette.responses import Response
from starlette.routing import Route

from host_tools.errors import UserError
from host_tools.fleet.people import KINDS, Unit
from host_tools.fleet.staff_csv import template
from host_tools.matching.explanation import explain_kept

from .site import Visit, csv_file, done, language_of, staff


def _people(visit: Visit) -> Response:
    imported = (visit.number("persons"), visit.number("assigned")) if visit.query("persons") else None
    return visit.page("people", kinds=KINDS, may_change=visit.account.may("change fleet"), imported=imported)


def _find(visit: Visit) -> Response:
    person_id = visit.office.people.find(visit.form.get("staff_number", ""))
    if person_id is None:
        raise UserError("Nobody has this staff number. Nothing was changed.")
    return done(f"/people/{person_id}", done="")


def _enter(visit: Visit) -> Response:
    return done(f"/people/{_entered(visit)}")


def _entered(visit: Visit) -> int:
    form = visit.form
    agency = form.get("agency", "").strip()
    unit = Unit(agency, form.get("district", ""), form.get("kind", "other")) if agency else None
    return visit.office.people.enter(
        visit.actor, form.get("staff_number", ""), form.get("name", ""), unit, form.get("address", "")
    )


def _import(visit: Visit) -> Response:
    brought = visit.office.staff_csv.bring_in(visit.actor, visit.files.get("list", b""))
    return done("/people", done="", persons=str(brought.persons), assigned=str(brought.assigned))


def _template(visit: Visit) -> Response:
    return csv_file("template.csv", template(language_of(visit.request) == "vi"))


def _export(visit: Visit) -> Response:
    return csv_file("staff.csv", visit.office.staff_csv.bring_out(visit.actor))


def _person(visit: Visit) -> Response:
    held = visit.office.privacy.held(visit.actor, visit.path("person"))
    return visit.page(
        "person",
        held=held,
        reasons=explain_kept(held.days, visit.site.rules, visit.office.now()),
        results=visit.account.may("see results"),
        keep_days=visit.office.privacy.days(),
        holds=any(period.until_s is None for period in held.periods),
        kinds=KINDS,
    )


def _deed(visit: Visit) -> Response:
    person_id, what, office = visit.path("person"), visit.form.get("what", ""), visit.office
    if what == "change":
        return _enter(visit)
    if what == "assign":
        office.ledger.assign(visit.actor, office.ledger.serial(visit.form.get("token", "")), person_id)
    elif what == "contacts":
        office.privacy.forget_contacts(visit.actor, person_id)
    elif what == "all":
        office.privacy.erase(visit.actor, person_id)
        return done("/people")
    else:
        raise UserError("There is no such deed. Nothing was changed.")
    return done(f"/people/{person_id}")


IMPORT = "/people/import"
ROUTES = [
    Route("/people", staff("see people", _people)),
    Route("/people", staff("change fleet", _enter, _people), methods=["POST"]),
    Route("/people/find", staff("see people", _find, _people), methods=["POST"]),
    Route(IMPORT, staff("change fleet", _import, _people), methods=["POST"]),
    Route("/people/template.csv", staff("change fleet", _template)),
    Route("/people/export", staff("change fleet", _export, _people), methods=["POST"]),
    Route("/people/{person:number}", staff("see people", _person)),
    Route("/people/{person:number}", staff("change fleet", _deed, _person), methods=["POST"]),
]
