"""Why a token was not read, as its wearer is told: what happened and what to do, by kind, never in technical words.

The clerk and the log have the error's own sentence; a wearer at the kiosk has half a minute and one thing to do.
"""

from dataclasses import dataclass
from typing import Literal

from host_tools.errors import UserError
from host_tools.fleet.clock import ClockWrong
from host_tools.link.bluetooth import AdapterMissing
from host_tools.link.errors import (
    AnswerTimeout,
    LogRestarted,
    LogSealed,
    SessionError,
    SessionRefused,
    StrangeToken,
)
from host_tools.storage.database import StorageError
from host_tools.storage.store import StoreConflict
from tracing import kiosk_messages as wire

Failure = Literal["lost", "silent", "elsewhere", "foreign", "clock", "database", "radio", "token", "kiosk"]


@dataclass(frozen=True, slots=True)
class Words:
    """What happened, and what the wearer does now, each in Vietnamese and English."""

    what: tuple[str, str]
    deed: tuple[str, str]


_CALL = ("Mời gọi nhân viên. Thẻ vẫn giữ mọi dữ liệu.", "Please call the staff. The token keeps all its data.")
_HAND_OVER = ("Đưa thẻ cho nhân viên tại quầy.", "Hand the token to the staff at the desk.")

WORDS: dict[Failure, Words] = {
    "lost": Words(
        ("Mất kết nối với thẻ. Phần đã đọc được giữ lại.", "The connection was lost. What was read is kept."),
        (
            "Đưa thẻ lại gần và giữ nút hai giây lần nữa.",
            "Hold the token nearer, and its button for two seconds again.",
        ),
    ),
    "silent": Words(
        ("Thẻ chưa trả lời. Phần đã đọc được giữ lại.", "The token did not answer. What was read is kept."),
        ("Giữ nút trên thẻ hai giây lần nữa.", "Hold your token's button for two seconds again."),
    ),
    "elsewhere": Words(
        ("Một quầy khác đang đọc thẻ này.", "Another kiosk is reading this token."),
        ("Chờ quầy kia đọc xong, xem kết quả ở đó.", "Wait for the other kiosk and read your result there."),
    ),
    "foreign": Words(
        ("Thẻ này không thuộc đơn vị của quầy này.", "This token does not belong to this kiosk's organisation."),
        ("Đem thẻ đến quầy đã phát thẻ cho bạn.", "Take the token to the kiosk that gave it to you."),
    ),
    "clock": Words(("Đồng hồ của quầy không đúng.", "This kiosk's clock is wrong."), _CALL),
    "database": Words(("Lúc này quầy không lưu được dữ liệu.", "The kiosk cannot store anything now."), _CALL),
    "radio": Words(("Bluetooth của quầy không dùng được.", "The kiosk's Bluetooth cannot be used."), _CALL),
    "token": Words(("Thẻ này cần được kiểm tra.", "This token has to be checked."), _HAND_OVER),
    "kiosk": Words(("Quầy chưa đọc xong thẻ.", "The kiosk did not finish reading the token."), _CALL),
}

_REFUSALS: dict[int, Failure] = {
    wire.ERROR_NOT_IN_SYNC_MODE: "silent",
    wire.ERROR_BUSY: "elsewhere",
    wire.ERROR_KEY: "foreign",
    wire.ERROR_RANGE: "clock",
    wire.ERROR_VERSION: "token",
}
# The first that fits: the narrower kinds stand before the wider ones.
_KINDS: tuple[tuple[type[UserError], Failure], ...] = (
    (AnswerTimeout, "silent"),
    (StrangeToken, "foreign"),
    (LogSealed, "token"),
    (LogRestarted, "token"),
    (StoreConflict, "token"),
    (SessionError, "lost"),
    (ClockWrong, "clock"),
    (StorageError, "database"),
    (AdapterMissing, "radio"),
    (UserError, "kiosk"),
)


def failure_of(error: UserError) -> Failure:
    """The kind of an error that ended a sync."""
    if isinstance(error, SessionRefused) and error.code in _REFUSALS:
        return _REFUSALS[error.code]
    return next(kind for cause, kind in _KINDS if isinstance(error, cause))
