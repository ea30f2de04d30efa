"""The kiosk as one process: the BLE worker, the jobs that come round, and the pages, in one event loop."""

import asyncio
import contextlib
import signal
import socket
from collections.abc import Callable, Iterator

import structlog
import uvicorn

from host_tools.errors import UserError
from host_tools.fleet.clock import ClockWatch, ClockWrong
from host_tools.fleet.desk import DeskInThreads
from host_tools.fleet.health import health
from host_tools.fleet.new_lists import NewLists
from host_tools.fleet.office import Office
from host_tools.kiosk.release_desk import ReleaseDesk
from host_tools.kiosk.serve import LIST_EVERY_S
from host_tools.kiosk.service import Kiosk
from host_tools.link.adapter import Adapter
from host_tools.matching.explanation import ListVersion
from host_tools.matching.rules import Rules
from host_tools.provisioning.token_keys import KioskRoot
from host_tools.storage.database import StorageError

from .app import build_app
from .around import Around, watching
from .cases import CaseList, Source
from .line import server_config
from .pages import Pages
from .screen import LiveScreen, ShowingDesk
from .site import Practice, Site

RESTART_SCAN_S = 30.0  # an adapter that was pulled out and put back does not say so: the scan is begun anew
RETRY_S = 5.0
LOOK_S = 10.0  # so often it is looked whether database and clock can be used
_MINUTE_S, _HOUR_S = 60.0, 3600.0
_log = structlog.get_logger()


class KioskProcess:
    """All parts of a kiosk, put together.

    Args:
        office: the open fleet.
        adapter: reaches the tokens.
        source: of the national list.
        root: of the fleet whose tokens are served.
        rules: what counts as a close contact.
        now: Unix seconds, from any thread.
        simulated: the pages say so; practice: see site.Site.

    Raises:
        UserError: there is no list.
    """

    def __init__(
        self,
        office: Office,
        adapter: Adapter,
        source: Source,
        root: KioskRoot,
        rules: Rules,
        now: Callable[[], float],
        simulated: bool = False,
        practice: Practice | None = None,
    ) -> None:
        around = Around(lambda: asyncio.get_running_loop().time())
        self.office = office
        self.cases = CaseList(source, now)
        self.screen = LiveScreen(rules, around)
        self.releases = ReleaseDesk(office, self.screen, now)
        self._watch = ClockWatch(now, lambda: asyncio.get_running_loop().time())
        self.site = Site(
            office, self.screen, self.cases, Pages(), rules, self.releases, simulated, practice, self._watch.believe
        )
        self._new_lists = NewLists(office.results, rules)
        self._now = now
        self._desk = ShowingDesk(DeskInThreads(office.desk), self.screen, self._check_clock)
        cases, status = self.cases.newest
        self._kiosk = Kiosk(
            watching(adapter, around), office.store, cases, rules, root, now, self.screen, ListVersion.of(status),
            office.index, self._desk, self.releases,
        )  # fmt: skip

    async def run(self, listener: socket.socket, names: frozenset[str] = frozenset()) -> None:
        """Serve until a signal to end, or until cancelled.

        Args:
            listener: where browsers come in.
            names: see guard.Guard.
        """
        server = _Server(server_config(build_app(self.site, names)))
        loop = asyncio.get_running_loop()

        def end() -> None:
            server.should_exit = True

        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, end)
        try:
            async with asyncio.TaskGroup() as tasks:
                workers = [
                    tasks.create_task(self.read_tokens()),
                    tasks.create_task(self.look_around()),
                    tasks.create_task(_every(_HOUR_S, self.office.privacy.purge)),
                    tasks.create_task(_every(_MINUTE_S, self.office.alerts.deliver)),
                    tasks.create_task(_every(LIST_EVERY_S, self._renew_list)),
                    tasks.create_task(_every(_MINUTE_S, self._match_new_list)),
                ]
                _log.info("kiosk started", port=listener.getsockname()[1])
                await server.serve([listener])
                for worker in workers:
                    worker.cancel()
        finally:
            for number in (signal.SIGINT, signal.SIGTERM):
                loop.remove_signal_handler(number)
            _log.info("kiosk ended")

    async def read_tokens(self) -> None:
        """Serve wearers, whatever becomes of the adapter or the database."""
        while True:
            kiosk = asyncio.create_task(self._kiosk.run())
            try:
                await self._until_idle(kiosk)
            except UserError as error:
                self.screen.set_trouble("radio", True)
                _log.warning("the radio cannot be used", reason=str(error))
                await asyncio.sleep(RETRY_S)
            finally:
                kiosk.cancel()
                await asyncio.gather(kiosk, return_exceptions=True)

    async def _until_idle(self, kiosk: asyncio.Task) -> None:
        """Until the scan should begin anew: when it is old, or a link was lost; never while a token is being read."""
        loop = asyncio.get_running_loop()
        old_s = loop.time() + RESTART_SCAN_S
        while True:
            done, _ = await asyncio.wait([kiosk], timeout=RETRY_S)
            if done:
                kiosk.result()
            if self._kiosk.scanning:
                self.screen.set_trouble("radio", False)
            if not self._kiosk.busy and (self._kiosk.link_lost or loop.time() >= old_s):
                return

    async def _check_clock(self, now_s: float) -> None:
        self._watch.check()
        await asyncio.to_thread(self.office.clock.check_list, now_s, self.cases.status.published_s)

    async def look_around(self) -> None:
        """Tell on the screen what keeps wearers from being served, before one of them finds out."""
        while True:
            found = await asyncio.to_thread(health, self.office.database, self.office.now)
            self.screen.set_trouble("database", "database" in found.troubles)
            with contextlib.suppress(ClockWrong, StorageError):
                await self._desk.check_clock(self._now())
            await asyncio.sleep(LOOK_S)

    def _renew_list(self) -> None:
        self.cases.renew()
        cases, status = self.cases.newest
        self._kiosk.use_list(cases, ListVersion.of(status))
        if status.problem:
            _log.warning("no newer list", reason=status.problem)

    def _match_new_list(self) -> None:
        listed = self._kiosk.listed
        found = self._new_lists.hold(listed)
        if found is not None:
            _log.info("a new list", cases=len(listed.cases.cases), tokens=found.tokens, alerts=found.alerts)


class _Server(uvicorn.Server):
    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """The process ends by itself, with everything closed; uvicorn would raise the signal again."""
        yield


async def _every(pause_s: float, job: Callable[[], object]) -> None:
    while True:
        try:
            await asyncio.to_thread(job)
        except UserError as error:
            _log.warning("a job failed", job=job.__name__, reason=str(error))
        await asyncio.sleep(pause_s)


def listen(host: str, port: int) -> socket.socket:
    """The socket that browsers come to.

    Raises:
        UserError: the port is taken, or the host is none of this machine's.
    """
    try:
        listener = socket.create_server((host, port), family=socket.AF_INET6 if ":" in host else socket.AF_INET)
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)  # its connections inherit it; else 40 ms a page
        return listener
    except OSError as error:
        raise UserError(
            f"Port {port} of {host} cannot be used: {error.strerror or error}. Nothing was started. End the other "
            "kiosk, or choose another --port."
        ) from error
