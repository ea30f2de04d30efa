"""What went wrong, in Vietnamese: the sentences of errors that people meet on the clerk's pages.

Errors speak English, for the console and the log. Here each of their sentences stands once, with the fields that it
fills in, beside its Vietnamese. A test finds every sentence that a page can show and looks for it here.
"""

import re
from functools import cache

from host_tools.fleet.staff_csv import VIETNAMESE, VIETNAMESE_KINDS

from .vietnamese_machine import MACHINE_PARTS, MACHINE_SENTENCES

_NOTHING = " Nothing was changed"
_LONGEST = 5000  # twenty faults of a staff list; the time that a search takes grows with the square of what was typed
_NOTHING_VI = "Không có gì thay đổi."
_LINE = re.compile(r"; (?=line \d+: |and \d+ more$)")

# Those of tokens, releases, lists and gateways stand in another module, since nobody typed anything that led to them.
# Without their last full stop and without "Nothing was changed", which is said last in Vietnamese.
SENTENCES = MACHINE_SENTENCES | {
    # Logging in, accounts
    "Name or password is wrong": "Tên hoặc mật khẩu không đúng",
    "Too many wrong passwords. Try again in {minutes} minutes": "Sai quá nhiều lần. Thử lại sau {minutes} phút",
    "This is not the code on the kiosk's console. Read it again, or start the kiosk anew": (
        "Mã này không phải mã trên cửa sổ lệnh của quầy. Đọc lại mã, hoặc khởi động lại quầy để có mã mới"
    ),
    "An account's name has 2 to 64 letters, digits, dots or hyphens": (
        "Tên tài khoản có từ 2 đến 64 chữ cái, chữ số, dấu chấm hoặc gạch nối, không có dấu cách"
    ),
    "No account may be called {name}: the audit calls others so": (
        "Không đặt được tên {name}: nhật ký dùng tên này cho việc khác"
    ),
    "A password has {least} to {most} characters, not {count}": (
        "Mật khẩu phải có từ {least} đến {most} ký tự; mật khẩu vừa nhập có {count}"
    ),
    "A role is one of {roles}": "Hãy chọn một vai trò trong danh sách",
    "There is an account {name} already. Choose another name": "Đã có tài khoản {name}. Hãy chọn tên khác",
    "There is no account {number}": "Không có tài khoản số {number}",
    "This is the last admin. Make another one first": "Đây là tài khoản quản trị cuối cùng. Tạo tài khoản khác trước",
    "There is no such change": "Không có thao tác này",
    "The page was open for too long. Look it over and send it again": ("Trang mở đã quá lâu. Xem lại rồi gửi lần nữa"),
    # Tokens
    "A serial has 16 hex digits": "Số sê-ri có 16 ký tự, chỉ gồm 0–9 và a–f",
    "A serial has {digits} hex digits, not {count}": "Số sê-ri có {digits} ký tự; số vừa nhập có {count}",
    "There is no token {code} in the ledger. Read the six letters on its label again, or register it by its serial": (
        "Trong sổ không có thẻ {code}. Đọc lại sáu ký tự trên nhãn, hoặc ghi thẻ vào sổ bằng số sê-ri"
    ),
    "{count} tokens have the short code {code}. Name one by its serial: {serials}": (
        "Có {count} thẻ cùng mã {code}. Hãy dùng số sê-ri: {serials}"
    ),
    "Token {serial} is not in the ledger. Register it, or let a kiosk read it": (
        "Thẻ {serial} không có trong sổ. Ghi thẻ vào sổ, hoặc cho quầy đọc thẻ"
    ),
    "Token {code}: {deed} is not possible, since {why}": "Thẻ {code}: không {deed} được, vì {why}",
    "Token {code} is with nobody. Assign the new one instead": "Thẻ {code} chưa phát cho ai. Hãy phát thẻ mới",
    "This person has token {code} already. Enter its return or loss first, or replace it": (
        "Người này đang giữ thẻ {code}. Ghi trả hoặc báo mất thẻ đó trước, hoặc đổi thẻ"
    ),
    "There is no person {number}. Enter the person first": "Không có người đeo số {number}. Ghi người đó trước",
    "There is no such deed": "Không có thao tác này",
    "Say what becomes of the old token": "Hãy chọn thẻ cũ đã trả, mất hay thu hồi",
    # People
    "Nobody has staff number {number}. Enter the person first": (
        "Không ai có mã nhân viên {number}. Ghi người đó trước, ở trang Người đeo"
    ),
    "Nobody has this staff number": "Không ai có mã nhân viên này",
    "There is no person {number}, or nothing is held of them any more": (
        "Không có người đeo số {number}, hoặc dữ liệu của người đó đã xóa"
    ),
    "The {what} is missing": "Thiếu {what}",
    "The {what} has {count} characters; {most} at most": "{what} dài {count} ký tự; nhiều nhất {most}",
    "The {what} has characters that cannot be printed": "{what} có ký tự không in được",
    "The kind of a unit is one of {kinds}": f"Loại đơn vị là một trong: {', '.join(VIETNAMESE_KINDS.values())}",
    "The address is neither an e-mail address nor a telephone number": (
        "Liên hệ không phải địa chỉ e-mail, cũng không phải số điện thoại"
    ),
    "A sealed {what} cannot be opened: it is damaged, or was sealed with another key. Enter it anew": (
        "Không mở được {what} đã mã hóa: dữ liệu hỏng, hoặc mã hóa bằng khóa khác. Hãy nhập lại"
    ),
    # Staff lists
    "The list was not taken in, nothing was changed. Correct {faults}": (
        "Chưa nhập danh sách, không có gì thay đổi. Hãy sửa: {faults}"
    ),
    "line {line}: {fault}": "dòng {line}: {fault}",
    "and {count} more": "và {count} lỗi nữa",
    "staff number {number} stands in line {line} too": "mã nhân viên {number} đã có ở dòng {line}",
    "a unit needs its agency": "thiếu tên cơ quan",
    "The list has more than {most} MB. Split it": "Danh sách lớn hơn {most} MB. Hãy chia nhỏ",
    "The list is not in UTF-8 (line {line}). Save it as “CSV UTF-8”": (
        "Danh sách không ở dạng UTF-8 (dòng {line}). Hãy lưu lại ở dạng “CSV UTF-8”"
    ),
    "The first line must name columns among {columns}; staff_number and name are needed": (
        "Dòng đầu phải ghi tên các cột, trong số: "
        f"{', '.join(VIETNAMESE.values())}; bắt buộc có {VIETNAMESE['staff_number']} và {VIETNAMESE['name']}. Tải tệp "
        "mẫu để có sẵn dòng này"
    ),
    "Line {line} has {count} cells, not {expected}": "Dòng {line} có {count} ô, không phải {expected}",
    "Line {line} is no CSV: {error}": "Dòng {line} không đúng dạng CSV",
    # Alerts, settings
    "There is no open alert {number}: somebody else has seen to it": (
        "Cảnh báo số {number} không còn chờ: người khác đã xử lý"
    ),
    "Addresses are of kind {kinds}, not {kind}": "Cổng gửi là một trong: {kinds}",
    "apprise knows no gateway like this one, with the address {address}. See https://appriseit.com for the URL of "
    "yours": (
        "apprise không biết cổng gửi nào như vậy cho địa chỉ {address}. Xem cách viết địa chỉ cổng ở https://appriseit.com"
    ),
    "A gateway's URL needs {mark} where the wearer's goes": (
        "Địa chỉ của cổng phải có {mark} ở chỗ ghi liên hệ của người đeo"
    ),
    "Encounters are kept from 0 to {most} days, not {days}": "Lịch sử được giữ từ 0 đến {most} ngày, không phải {days}",
    "Days are a whole number": "Số ngày phải là số nguyên",
    # Releases
    "No code is wanted now. Nothing was sent to the token. Look at the release again": (
        "Lúc này chưa cần mã. Chưa gửi gì đến thẻ. Hãy xem lại báo cáo"
    ),
    "A code has {count} letters out of {letters}. Nothing was sent to the token, and no try is lost. Ask the authority "
    "again": (
        "Mã có {count} ký tự, trong số {letters}. Chưa gửi gì đến thẻ, không mất lần thử nào. Hãy hỏi lại cơ quan y tế"
    ),
    "There is no file to fetch. Nothing was handed out. Look at the release again": (
        "Không có tệp để tải về. Chưa đưa ra dữ liệu nào. Hãy xem lại báo cáo"
    ),
    "Release {number} is over: it was cancelled, or has ended more than {minutes} minutes ago. Nothing is kept of it "
    "but the kiosk's audit. Begin again if need be": (
        "Báo cáo {number} đã xong: đã hủy, hoặc kết thúc quá {minutes} phút. Chỉ còn lại trong nhật ký của quầy. Nếu "
        "cần, hãy bắt đầu lại"
    ),
    "{count} releases are under way or wait to be fetched. Nothing was begun. Finish one first": (
        "Đang có {count} báo cáo chưa xong hoặc chờ tải về. Chưa bắt đầu báo cáo mới. Hãy làm xong một báo cáo trước"
    ),
    "There is a release of token {code} already. Nothing was begun. Finish that one, or cancel it": (
        "Đã có báo cáo của thẻ {code}. Chưa bắt đầu báo cáo mới. Hãy làm xong hoặc hủy báo cáo đó"
    ),
    "By the ledger this token is {state}, and not for whoever holds it. Nothing was begun. If that is wrong, the clerk "
    "enters what is right": (
        "Theo sổ, thẻ này {state}, không dành cho người đang cầm. Chưa bắt đầu. Nếu sổ sai, nhân viên quầy sửa lại"
    ),
    "The person with staff number {number} has {count} tokens. Nothing was begun. Name the token by the six letters on "
    "its label": ("Người có mã nhân viên {number} giữ {count} thẻ. Chưa bắt đầu. Hãy ghi sáu ký tự trên nhãn thẻ"),
    # The database
    "The database {place} cannot be used: {error}. Nothing of this step was stored; what was there before is "
    "untouched, and the token keeps its log until it is stored. {advice}": (
        "Cơ sở dữ liệu {place} không dùng được ({error}). Bước này chưa được lưu; dữ liệu trước đó còn nguyên, và thẻ "
        "giữ lịch sử của nó cho đến khi được lưu. {advice}"
    ),
    "Record {number} of token {serial} is damaged. Nothing of its batch was stored": (
        "Bản ghi {number} của thẻ {serial} bị hỏng. Chưa lưu bản ghi nào của lần đọc này"
    ),
}
# What fields named so hold is said in Vietnamese too.
_TOLD_FIELDS = ("what", "deed", "why", "advice", "fault", "faults", "state", "problem", "reason", "signature")
_PARTS = MACHINE_PARTS | {
    "name": "họ tên", "staff number": "mã nhân viên", "agency": "tên cơ quan", "district": "quận, huyện",
    "address": "liên hệ", "gateway": "địa chỉ của cổng gửi", "key check": "mẫu thử của khóa",
    "assign": "phát", "return": "ghi trả", "lose": "báo mất", "revoke": "thu hồi", "wipe": "ghi đã xóa",
    "lost": "đã báo mất", "revoked": "đã thu hồi", "returned": "đã trả, chưa xóa dữ liệu",
    "it is new and with nobody": "thẻ còn mới, chưa phát cho ai",
    "it is with a wearer": "thẻ đang có người đeo",
    "it has been returned and still holds its wearer's log; wipe it first": (
        "thẻ đã trả nhưng còn lịch sử của người đeo trước; hãy xóa dữ liệu trên thẻ trước"
    ),
    "it is reported lost; if it has been found, enter its return first": (
        "thẻ đã báo mất; nếu đã tìm thấy, hãy ghi trả thẻ trước"
    ),
    "it has been revoked, which is for good": "thẻ đã thu hồi hẳn",
    "it has been wiped and is with nobody": "thẻ đã xóa dữ liệu, chưa phát cho ai",
    "Another program is writing to it: wait until it has finished, then try again": (
        "Chương trình khác đang ghi: chờ xong rồi thử lại"
    ),
    "Make room on the disk, then try again": "Dọn bớt ổ đĩa, rồi thử lại",
    "Check the disk and the file, then try again": "Kiểm tra ổ đĩa và tệp, rồi thử lại",
    "Start the database's server, or mend the network to it; the kiosk goes on by itself when it is back": (
        "Bật máy chủ cơ sở dữ liệu hoặc sửa mạng; quầy tự chạy tiếp khi có lại"
    ),
    "The file is no database: name another one": "Tệp không phải cơ sở dữ liệu: hãy chọn tệp khác",
    "The file is damaged: put it aside for the technician and begin a new one": (
        "Tệp bị hỏng: cất đi cho kỹ thuật viên và bắt đầu tệp mới"
    ),
    "Allow this user to write to the file and its folder, then try again": (
        "Cho phép người dùng này ghi vào tệp và thư mục, rồi thử lại"
    ),
    "Correct the user's name or password in its address, then try again": (
        "Sửa tên hoặc mật khẩu trong địa chỉ cơ sở dữ liệu, rồi thử lại"
    ),
    "Create the database on its server, or correct its name in the address, then try again": (
        "Tạo cơ sở dữ liệu trên máy chủ, hoặc sửa tên trong địa chỉ, rồi thử lại"
    ),
}  # fmt: skip


def vietnamese(sentence: str) -> str | None:
    """The Vietnamese of an error's sentence; None when it stands in no list, or is too long to be looked for."""
    if len(sentence) > _LONGEST:
        return None
    said = _said(sentence.replace(f"{_NOTHING}.", ""))
    if said is None:
        return None
    said = f"{said[0].upper()}{said[1:].rstrip('.')}."
    return f"{said} {_NOTHING_VI}" if _NOTHING in sentence else said


def _said(text: str) -> str | None:
    text = text.rstrip(".")
    if text in _PARTS:
        return _PARTS[text]
    for pattern, translated in _patterns():
        if found := pattern.fullmatch(text):
            fields = {name: _field(name, value) for name, value in found.groupdict().items()}
            return translated.format_map(fields)
    return None


def _field(name: str, value: str) -> str:
    if name not in _TOLD_FIELDS:
        return value
    parts = _LINE.split(value) if name == "faults" else [value]
    return "; ".join(_said(part) or part for part in parts)


_FIELD = re.compile(r"\{(\w+)\}")


@cache
def _patterns() -> list[tuple[re.Pattern[str], str]]:
    # What wraps another sentence first, then the most literal: a short pattern may take a sentence for a field.
    by_length = sorted(
        SENTENCES, key=lambda english: (not english.startswith("{problem}"), -len(_FIELD.sub("", english)))
    )
    return [(re.compile(_pattern(english), re.DOTALL), SENTENCES[english]) for english in by_length]


def _pattern(english: str) -> str:
    return "".join(
        f"(?P<{piece}>.+?)" if place % 2 else re.escape(piece) for place, piece in enumerate(_FIELD.split(english))
    )
