"""Alerts for health officers; audit, accounts and settings for admins."""

from starlette.responses import Response
from starlette.routing import Route

from host_tools.errors import UserError
from host_tools.fleet.accounts import PERMISSIONS, SHORTEST_PASSWORD, Role
from host_tools.fleet.alerts import KINDS
from host_tools.matching.explanation import explain_kept

from .site import Visit, done, staff

_AUDIT_ROWS = 50


def _alerts(visit: Visit) -> Response:
    alerts = visit.office.alerts.look_at(visit.actor)
    rules, now_s = visit.site.rules, visit.office.now()
    reasons = {alert.id: explain_kept([alert.found], rules, now_s) for alert in alerts if alert.found}
    return visit.page("alerts", alerts=alerts, reasons=reasons)


def _told(visit: Visit) -> Response:
    visit.office.alerts.told_by_hand(visit.actor, visit.path("alert"))
    return done("/alerts")


def _audit(visit: Visit) -> Response:
    before = visit.number("before")
    actor = visit.query("actor")[:64]
    rows = visit.office.audit.rows(actor=actor or None, before_id=before or None, limit=_AUDIT_ROWS)
    return visit.page("audit", rows=rows, actor=actor, more=len(rows) == _AUDIT_ROWS)


def _accounts(visit: Visit) -> Response:
    return visit.page(
        "accounts", accounts=visit.office.accounts.all(), roles=list(PERMISSIONS), shortest=SHORTEST_PASSWORD
    )


def _add_account(visit: Visit) -> Response:
    role: Role | None = next((known for known in PERMISSIONS if known == visit.form.get("role")), None)
    if role is None:
        raise UserError(f"A role is one of {', '.join(PERMISSIONS)}. Nothing was changed.")
    visit.office.accounts.add(visit.actor, visit.form.get("name", ""), role, visit.form.get("password", ""))
    return done("/accounts")


def _change_account(visit: Visit) -> Response:
    accounts, number, what = visit.office.accounts, visit.path("account"), visit.form.get("what", "")
    if what in ("disable", "enable"):
        accounts.disable(visit.actor, number, what == "disable")
    elif what == "password":
        accounts.set_password(visit.actor, number, visit.form.get("password", ""))
    else:
        raise UserError("There is no such change. Nothing was changed.")
    return done("/accounts")


def _settings(visit: Visit) -> Response:
    return visit.page("settings", days=visit.office.privacy.days(), kinds=KINDS, clock=visit.office.clock.found())


def _change_settings(visit: Visit) -> Response:
    days, kind = visit.form.get("days"), visit.form.get("gateway")
    if days is not None:
        if not days.isdecimal() or len(days) > 4:
            raise UserError("Days are a whole number. Nothing was changed.")
        visit.office.privacy.set_days(visit.actor, int(days))
    elif kind is not None:
        visit.office.alerts.set_gateway(visit.actor, kind, visit.form.get("url", "").strip())
    elif "clock" in visit.form:
        visit.office.clock.trust(visit.actor)
        visit.site.believe_clock()
    return done("/settings")


ROUTES = [
    Route("/alerts", staff("see results", _alerts)),
    Route("/alerts/{alert:number}", staff("see results", _told, _alerts), methods=["POST"]),
    Route("/audit", staff("see audit", _audit)),
    Route("/accounts", staff("accounts", _accounts)),
    Route("/accounts", staff("accounts", _add_account, _accounts), methods=["POST"]),
    Route("/accounts/{account:number}", staff("accounts", _change_account, _accounts), methods=["POST"]),
    Route("/settings", staff("settings", _settings)),
    Route("/settings", staff("settings", _change_settings, _settings), methods=["POST"]),
]
