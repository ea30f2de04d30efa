"""Everything of a fleet in one hand: what the web pages and the command line work with."""

from pathlib import Path
from typing import Self

from host_tools.matching.list_options import user_cache
from host_tools.storage.database import Database
from host_tools.storage.store import Store

from .accounts import Accounts
from .alerts import Alerts
from .audit import Audit
from .clock import Clock, system_clock
from .clock_evidence import ClockEvidence
from .desk import FleetDesk
from .ledger import Ledger
from .listing import Listing
from .people import People
from .privacy import Privacy
from .results import Results
from .staff_csv import StaffCsv
from .vault import Vault


class Office:
    """An open fleet.

    Args:
        place: of the database: a file, or an SQLAlchemy URL.
        key_file: with the key of the names; see vault.Vault.of.
        now: Unix s.

    Raises:
        UserError: the database or the key cannot be used.
    """

    def __init__(self, place: Path | str, key_file: Path | None = None, now: Clock = system_clock) -> None:
        self.now = now
        self.database = Database(str(place))
        try:
            self.vault = Vault.of(self.database, key_file)
        except Exception:
            self.database.close()
            raise
        self.store = Store(self.database)
        self.people = People(self.database, self.vault, now)
        self.ledger = Ledger(self.database, now)
        self.listing = Listing(self.database, self.vault, now)
        self.staff_csv = StaffCsv(self.database, self.people, now)
        self.results = Results(self.database, now)
        self.alerts = Alerts(self.database, self.vault, self.people, now)
        self.privacy = Privacy(self.database, self.people, self.ledger, now)
        self.accounts = Accounts(self.database, now)
        self.audit = Audit(self.database)
        self.clock = ClockEvidence(self.database, now)
        self.desk = FleetDesk(self.database, self.ledger, self.results, self.privacy)

    @property
    def index(self) -> Path:
        """Folder of the slot index for long lists: beside a database that is a file."""
        file = self.database.sqlite_file
        return Path(file).with_suffix(".index") if file else user_cache() / "index"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the database."""
        self.database.close()
