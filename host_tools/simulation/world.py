"""A scenario brought to life: tokens in VMs, phones, the kiosk's adapter, all on one air in virtual time."""

import asyncio
from pathlib import Path

from bumble.device import Device

from host_tools.provisioning.token_keys import AuthorityRoot, KioskRoot, Roots, TokenKeys, token_keys
from tracing.keys import day_of
from tracing.state import StateStore

from .air import Air, Position
from .board import VirtualBoard, make_device
from .controller import VirtualController
from .flash import STATE_BLOCKS, open_flash
from .phones import AndroidPhone, IPhone, Phone
from .processes import BoardProcesses
from .propagation import Propagation, stream
from .scenario import Person, Scenario

KIOSK = "kiosk"
QUEUE_M = 1.0  # wearers stand in front of the kiosk, side by side


class World:
    """Everything that has a radio.

    Args:
        scenario: who is where.
        seed: of all randomness.
        folder: for flash images and the boards' output; made when missing.
        rom: firmware image of the virtual board; log_blocks: of its flash, when not as in board.toml.

    Attributes:
        resets: (time in s, name, reason) of every token that asked to be reset, or whose watchdog starved; it has been
            started again.
        boards, provisioned: by wearer's name; phones: by owner's name.
        roots: of the fleet and its health authority.
        adapter: the kiosk's Bluetooth controller; None before `start`.
        drift_ppm: by how many millionths a token's counter runs fast, by wearer's name; fill it before `start`.
        kiosk: Bumble device of the kiosk's adapter.
    """

    def __init__(self, scenario: Scenario, seed: int, folder: Path, rom: bytes, log_blocks: int | None = None) -> None:
        self.scenario = scenario
        self.folder = folder
        self.air = Air(self.position, Propagation(**scenario.propagation), seed)
        self.processes = BoardProcesses(folder, rom)
        self.boards: dict[str, VirtualBoard] = {}
        self.roots = make_roots(seed)
        self.provisioned: dict[str, TokenKeys] = {}
        self.phones: dict[str, Phone] = {}
        self.drift_ppm: dict[str, int] = {}
        self.adapter: VirtualController | None = None
        self.kiosk: Device
        self.resets: list[tuple[float, str, str]] = []
        self._restarts: list[asyncio.Task] = []
        self._seed = seed
        self._blocks = log_blocks and log_blocks + STATE_BLOCKS
        self._called: dict[str, Position] = {}

    def position(self, name: str) -> Position:
        """Where a device is now."""
        if name in self._called:
            return self._called[name]
        return self.scenario.person(name).position(asyncio.get_running_loop().time())

    def now_s(self) -> float:
        """Unix time of this moment of the scenario."""
        return self.scenario.start_s + asyncio.get_running_loop().time()

    async def start(self) -> None:
        """Switch everything on, one after the other."""
        await self.processes.open()
        for number, person in enumerate(self.scenario.people):
            if person.device == "token":
                await self._start_token(number, person)
            else:
                await self._start_phone(number, person)
        place = self.scenario.kiosk
        self._called[KIOSK] = (place.x_m, place.y_m, place.room)
        self.adapter = VirtualController(KIOSK, self.air, len(self.scenario.people))
        self.kiosk = make_device(KIOSK, self.adapter)
        await self.kiosk.power_on()

    async def _start_token(self, number: int, person: Person) -> None:
        random = stream(self._seed, f"provisioning/{person.name}")
        serial, daily_key = random.randbytes(8), random.randbytes(32)
        given = token_keys(self.roots, serial, daily_key, day_of(self.scenario.start_s), random.randbytes(16))
        self.provisioned[person.name] = given
        flash = self.folder / f"token-{number}.flash"
        flash.unlink(missing_ok=True)
        scratch_file(flash).unlink(missing_ok=True)
        provision(flash, given, self.scenario.start_s, self._blocks)
        await self._power_on(person.name, number)

    async def _power_on(self, name: str, number: int) -> None:
        battery_mv = self.scenario.person(name).battery_mv
        board = VirtualBoard(name, self.air, number, lambda: battery_mv, self.now_s)
        board.drift_ppm = self.drift_ppm.get(name, 0)
        if name in self.boards:
            board.replace(self.boards[name])
        board.on_reset = lambda reason: self._reset(board, reason)
        self.boards[name] = board
        flash = self.folder / f"token-{number}.flash"
        await self.processes.start(board, flash, BOARD_RTC=str(int(self.now_s() + board.chip_ahead_s)))

    def _reset(self, board: VirtualBoard, reason: str) -> None:
        self.resets.append((asyncio.get_running_loop().time(), board.name, reason))
        task = asyncio.ensure_future(self._start_again(board))
        self._restarts.append(task)

    async def _start_again(self, board: VirtualBoard) -> None:
        self.processes.kill(board)
        await self._power_on(board.name, board.controller.number)

    async def restart_token(self, name: str) -> None:
        """Power on again a token whose process has been killed. Its clock has a battery of its own."""
        number = self.boards[name].controller.number
        scratch_file(self.folder / f"token-{number}.flash").unlink(missing_ok=True)
        await self._power_on(name, number)

    async def _start_phone(self, number: int, person: Person) -> None:
        base_id = stream(self._seed, f"base id/{person.name}").randbytes(32)
        common = (person.name, self.air, number, base_id, self.scenario.start_s, self.now_s)
        if person.device == "android":
            phone: Phone = AndroidPhone(*common)
        else:
            phone = IPhone(*common, background=person.device == "iphone-background")
        self.phones[person.name] = phone
        await phone.start()

    def base_id(self, name: str) -> bytes:
        """The base id of a person's device: 32 bytes, of the day on which the scenario begins."""
        return self.provisioned[name].daily_key if name in self.provisioned else self.phones[name].base_id

    def call_to_kiosk(self, name: str, place_in_queue: int) -> None:
        """The person comes to the kiosk."""
        place = self.scenario.kiosk
        self._called[name] = (place.x_m - QUEUE_M, place.y_m + 0.3 * place_in_queue, place.room)

    def check(self) -> None:
        """Raise what a board has died of, if one has."""
        for task in self._restarts:
            if task.done():
                task.result()
        for name, board in self.boards.items():
            if board.gone.done():
                raise RuntimeError(f"the token of {name} has stopped:\n{self.processes.output(name)}")

    async def close(self) -> None:
        """Switch everything off."""
        for phone in self.phones.values():
            phone.stop()
        await self.processes.close()


def make_roots(seed: int) -> Roots:
    """The two roots of a simulated fleet."""
    random = stream(seed, "roots")
    return Roots(KioskRoot(random.randbytes(32)), AuthorityRoot(random.randbytes(32)))


def scratch_file(flash: Path) -> Path:
    """Where the token of a flash image keeps what outlives a reset, not a loss of power."""
    return flash.with_name(flash.name + ".scratch")


def provision(flash: Path, given: TokenKeys, now_s: int, blocks: int | None = None) -> None:
    """Write keys, serial and an approximate time into a new flash image, as a technician's tool does."""
    StateStore(open_flash(flash, blocks), 0, 1).save(given.state(now_s))
