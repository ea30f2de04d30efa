"""What goes wrong with tokens, releases, lists and gateways, in Vietnamese; see vietnamese.py for the form."""

# Without their last full stop and without "Nothing was changed", as in vietnamese.py.
MACHINE_SENTENCES = {
    # A token that is being read
    "This token does not have a key of this kiosk's fleet: it belongs to another one, or was never provisioned. "
    "Nothing was read. A technician must provision it, or name this kiosk the right key file": (
        "Thẻ không có khóa của bộ thẻ này: thẻ thuộc bộ khác, hoặc chưa được cấp khóa. Chưa đọc gì. Hãy gọi kỹ thuật "
        "viên"
    ),
    "None of this token's records opens with this kiosk's key: the token was not provisioned anew as a whole. "
    "Nothing was stored, and the token keeps its log. Call the technician": (
        "Khóa của quầy không mở được bản ghi nào của thẻ: thẻ chưa được nạp lại trọn vẹn. Chưa lưu gì, thẻ giữ "
        "nguyên lịch sử. Hãy gọi kỹ thuật viên"
    ),
    "The connection to the token was lost. What was read so far is kept. Hold the token near the kiosk and try again": (
        "Mất kết nối với thẻ. Phần đã đọc được giữ lại. Đưa thẻ lại gần quầy rồi thử lại"
    ),
    "The token was found but could not be connected. What was read so far is kept. Hold the token near the kiosk and "
    "try again": "Thấy thẻ nhưng không kết nối được. Phần đã đọc được giữ lại. Đưa thẻ lại gần quầy rồi thử lại",
    "The device that answered is not a token. What was read so far is kept. Hold the token near the kiosk and try "
    "again": "Thiết bị vừa trả lời không phải là thẻ. Phần đã đọc được giữ lại. Đưa thẻ lại gần quầy rồi thử lại",
    "The token has not answered for {seconds} seconds. What was read so far is kept. Ask the wearer to press its "
    "button again, then try again": (
        "Thẻ không trả lời trong {seconds} giây. Phần đã đọc được giữ lại. Mời người đeo giữ nút lần nữa, rồi thử lại"
    ),
    "Reading this token has taken longer than {minutes} minutes and was ended. What was read so far is kept. Hold "
    "the token near the kiosk and press its button again; the kiosk goes on where it was": (
        "Đọc thẻ quá {minutes} phút nên đã dừng. Phần đã đọc được giữ lại. Đưa thẻ lại gần và giữ nút lần nữa; quầy "
        "đọc tiếp"
    ),
    "This token's log ends before records that are already stored under its serial: it was reset. Nothing was "
    "stored. A technician must provision it again, with a new serial": (
        "Thẻ đã bị đặt lại: lịch sử trên thẻ ngắn hơn phần đã lưu. Chưa lưu gì. Kỹ thuật viên phải cấp lại khóa, với "
        "số sê-ri mới"
    ),
    "The token is not in sync mode. Ask the wearer to press its button, then try again": (
        "Thẻ chưa sẵn sàng để đọc. Mời người đeo giữ nút, rồi thử lại"
    ),
    "Another kiosk is reading this token. Try again when it has finished": (
        "Một quầy khác đang đọc thẻ này. Chờ quầy đó đọc xong rồi thử lại"
    ),
    "The token did not expect this request. Try again; what was read so far is kept": (
        "Thẻ không chờ yêu cầu này. Thử lại; phần đã đọc được giữ lại"
    ),
    "The token and this kiosk speak different versions. Update the older of the two": (
        "Thẻ và quầy dùng phiên bản khác nhau. Nhờ kỹ thuật viên cập nhật bên cũ hơn"
    ),
    "The token refused a time or a place in its log. Check the kiosk's clock, then try again": (
        "Thẻ từ chối giờ hoặc vị trí trong lịch sử. Kiểm tra giờ của quầy, rồi thử lại"
    ),
    "The token does not accept this kiosk's key. Nothing was read. Check the kiosk's key file": (
        "Thẻ không nhận khóa của quầy. Chưa đọc gì. Kiểm tra tệp khóa của quầy"
    ),
    "The token refused, with a code this kiosk does not know ({code})": "Thẻ từ chối với mã lỗi lạ ({code})",
    "This session is over. Connect to the token anew": "Lần đọc này đã kết thúc. Hãy đọc lại thẻ",
    "The token's answer was damaged on its way ({error}). What was read so far is kept. Try again": (
        "Câu trả lời của thẻ bị hỏng trên đường truyền. Phần đã đọc được giữ lại. Hãy thử lại"
    ),
    "The Bluetooth adapter cannot scan ({error}). Nothing was read. Check that it is plugged in and on": (
        "Bluetooth của quầy không dùng được ({error}). Chưa đọc gì. Cắm và bật bộ thu"
    ),
    "Record {number} of token {serial} differs from the one stored{rest}": (
        "Bản ghi {number} của thẻ {serial} khác bản đã lưu. Hãy gọi kỹ thuật viên"
    ),
    "Token {code} {state}. Its log is stored; nothing was shown. Bring it to the clerk": (
        "Thẻ {code} {state}. Lịch sử đã lưu, chưa hiện kết quả. Đưa thẻ cho nhân viên quầy"
    ),
    # A release
    "The token does not accept this code. Nothing was released. Check each letter; ask the authority again if "
    "need be": ("Thẻ không nhận mã này. Chưa chuyển gì. So lại từng ký tự; nếu cần, hỏi lại cơ quan y tế"),
    "The token has refused {tries} codes and hangs up. Its log is stored; nothing was released. Let the wearer press "
    "the button again, and ask the authority for a code to the new challenge": (
        "Thẻ đã từ chối {tries} mã và ngắt kết nối. Lịch sử đã lưu, chưa chuyển gì. Mời người đeo giữ nút lần nữa, "
        "và xin cơ quan y tế mã cho mã thử mới"
    ),
    "The kiosk has stopped reading this token. Nothing was released. Begin again": (
        "Quầy đã ngừng đọc thẻ này. Chưa chuyển gì. Hãy bắt đầu lại"
    ),
    "The button was not pressed within {minutes} minutes, or the token was not read. Nothing was released. Begin "
    "again": "Trong {minutes} phút không ai giữ nút, hoặc quầy không đọc được thẻ. Chưa chuyển gì. Hãy bắt đầu lại",
    "The token waits five minutes for a code, and they are over. Its log is stored; nothing was released. Begin "
    "again, and ask the authority for a code to the new challenge": (
        "Thẻ chờ mã năm phút, và đã hết giờ. Lịch sử đã lưu, chưa chuyển gì. Bắt đầu lại, và xin cơ quan y tế mã cho "
        "mã thử mới"
    ),
    "The release was cancelled. Nothing was released": "Báo cáo đã hủy. Chưa chuyển gì",
    "Another token has the short code {code} too, and came. Its log is stored; nothing was released. Begin again "
    "with the serial of the right one": (
        "Một thẻ khác cùng mã {code} đã đến. Lịch sử của thẻ đó đã lưu, chưa chuyển gì. Bắt đầu lại bằng số sê-ri "
        "của đúng thẻ"
    ),
    # The list
    "{problem} In use is the last good one: {used}": "{problem}",
    "{problem} The list of before stays in use": "{problem}",
    "A newer list could not be kept: {error}": "Không lưu được danh sách mới ({error}): xem chỗ trống trên đĩa",
    "Lists cannot be kept: {error}. No list was read; make room or name another folder with --list-cache": (
        "Không lưu được danh sách ({error}): dọn bớt ổ đĩa"
    ),
    "There is no national list at {place}. Nothing was read; check the path": "Không có danh sách F0 ở {place}",
    "The national list {name} may not be read by this user. Nothing was read; change its permissions": (
        "Quầy không được phép đọc danh sách {name}"
    ),
    "The national list {name} cannot be read: {error}. Nothing of it was used": (
        "Không đọc được danh sách {name} ({error})"
    ),
    "The national list {name} could not be fetched: {reason}": "Không tải được danh sách {name}: {reason}",
    "The national list {name} is damaged {place}: {error}. Nothing of it was used, since cases may be missing; fetch "
    "it again": "Danh sách {name} bị hỏng, có thể thiếu ca. Hãy tải lại",
    "{name} is not a national list: {error}": "{name} không phải danh sách F0. Hãy tải lại",
    "The file kept of the list {name} is damaged. Nothing of it was used": "Bản lưu của danh sách {name} bị hỏng",
    "The national list {name} has no entry that can be used; the first one, {rest}": (
        "Danh sách {name} không có mục nào dùng được"
    ),
    "{name} is a list of {kind}, not of {wanted}. Nothing of it was used; check --cases and --kind": (
        "{name} là danh sách {kind}, không phải {wanted}"
    ),
    "The folder {name} cannot be read: {error}. Nothing of it was used": "Không đọc được thư mục {name} ({error})",
    "The folder {name} holds no list (*.json). Nothing was read; check the path": "Thư mục {name} không có danh sách",
    "The national list {name} and its signature do not belong together: the list was changed, or is being published. "
    "Nothing of it was used": "Danh sách {name} không khớp chữ ký: đã bị sửa, hoặc đang được công bố",
    "The national list {name} is larger than {most} bytes. Nothing of it was used; split it": (
        "Danh sách {name} lớn hơn {most} byte"
    ),
    "The national list {name} is version {version}, older than version {before}, which was there before: somebody "
    "may be holding cases back. Nothing of it was used": (
        "Danh sách {name} là bản {version}, cũ hơn bản {before} đã có: có thể ai đó đang giấu ca nhiễm"
    ),
    "The national list {name} has other content than the version {version} that was there before, though one key "
    "signed both. Nothing of it was used; ask the authority": (
        "Danh sách {name} khác nội dung với bản {version} đã có, dù cùng chữ ký: hãy hỏi cơ quan y tế"
    ),
    "The national list {name} is not signed. Nothing of it was used; fetch {file} as well, or ask the authority": (
        "Danh sách {name} không có chữ ký: xin cơ quan y tế danh sách có chữ ký"
    ),
    "The national list {name} cannot be trusted: its signature {signature}. Nothing of it was used; fetch it again, "
    "and check that --list-key is the authority's key": (
        "Không tin được danh sách {name}: chữ ký {signature}. Tải lại, và kiểm tra khóa của cơ quan y tế"
    ),
    "The national list {name} is not what the authority signed. Nothing of it was used; fetch it again": (
        "Danh sách {name} không phải bản mà cơ quan y tế đã ký: hãy tải lại"
    ),
    "The national list {name} is signed as a list of {kind}, not of {wanted}. Nothing of it was used; check --cases "
    "and --kind": "Danh sách {name} được ký là danh sách {kind}, không phải {wanted}",
    "The national list {name} is not whole: version {wanted} is missing on the way to {last}. Nothing of it was "
    "used, since cases may be missing; fetch all of its parts": (
        "Danh sách {name} không đủ: thiếu bản {wanted} trước bản {last}. Hãy tải đủ các phần"
    ),
    "the server was silent for {seconds} s": "máy chủ im lặng {seconds} giây",
    "the server's certificate was refused ({error})": "chứng chỉ của máy chủ không hợp lệ ({error})",
    "the connection broke before all had arrived ({error})": "kết nối đứt giữa chừng",
    "there is no connection to the server ({error})": "không kết nối được máy chủ; mạng có hoạt động không?",
    "the server's answer makes no sense ({error})": "máy chủ trả lời sai",
    "the server is out of order (HTTP {status})": "máy chủ đang lỗi (HTTP {status})",
    "the server answered HTTP {status}": "máy chủ trả lời HTTP {status}",
    "the server sent it compressed, which was not asked for": "máy chủ gửi tệp nén, quầy không yêu cầu",
    "the server sends us on to {url}, which is not https": "máy chủ chuyển đến {url}, không phải https",
    "the server sends us on more than {count} times": "máy chủ chuyển tiếp quá {count} lần",
    "the certificates that SSL_CERT_FILE names cannot be used ({error})": (
        "không dùng được chứng chỉ mà SSL_CERT_FILE chỉ ra"
    ),
    "it is larger than {most} bytes": "tệp lớn hơn {most} byte",
    "it had not arrived after {seconds} s": "sau {seconds} giây vẫn chưa tải xong",
    # Alerts on their way
    "the gateway failed ({error})": "cổng gửi gặp lỗi ({error})",
    "no gateway for addresses of kind {kind} is set": "chưa đặt cổng gửi cho loại liên hệ này, ở trang Thiết lập",
}
MACHINE_PARTS = {
    "the kiosk ended while it was being sent; it may have arrived": "quầy dừng khi đang gửi; có thể tin đã đến",
    "the gateway does not know such an address": "cổng gửi không nhận liên hệ này",
    "the gateway did not answer in time; it may have taken it": "cổng gửi không trả lời kịp; có thể tin đã gửi",
    "the gateway did not take it": "cổng gửi từ chối",
    "no address is known": "người đeo chưa có liên hệ",
    "is not in the format of a signature of a list": "không đúng dạng",
    "does not fit the key": "không khớp khóa",
    "is reported lost": "đã báo mất",
    "has been revoked": "đã thu hồi",
    "has been returned and not been wiped": "đã trả, chưa xóa dữ liệu",
}
