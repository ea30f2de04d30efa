"""A kiosk's visit: carries fragments between radio and session, and ends what hangs.

Whoever writes to the sync service is treated as a kiosk; whether it may do anything is the session's to say.
"""

from .const import const
from .sync import BUSY_FRAGMENT

_FRAGMENT_BYTES = const(244)  # fills one link-layer packet; a longer ATT MTU brings nothing more
_HANG_UP_MS = const(500)
_NO_ROOM_MS = const(5)
_NO_ROOM_LIMIT = const(2000)  # times _NO_ROOM_MS: a peer that takes nothing for 10 s holds the token up


class Visit:
    """The visit that is going on, if any.

    Args:
        radio: the radio port.
        session: sync.SyncSession.
        clock: the clock port.

    Attributes:
        handle: connection that is being served, or -1.
    """

    def __init__(self, radio, session, clock):
        self._radio = radio
        self._session = session
        self._clock = clock
        self._reply = bytearray(_FRAGMENT_BYTES)
        self.handle = -1

    def serve(self, until_ms):
        """Do what can be done now; call it again soon, at least once a second.

        Args:
            until_ms: uptime at which the loop has something else to do; a long answer is interrupted there.

        Returns:
            True when a visit has begun or ended.
        """
        radio = self._radio
        session = self._session
        if radio.intruder >= 0:
            try:
                radio.notify(radio.intruder, BUSY_FRAGMENT)
                radio.wait(_HANG_UP_MS)
            except OSError:
                pass
            radio.disconnect(radio.intruder)
            radio.intruder = -1
        changed = self._follow()
        if self.handle < 0:
            return changed
        while radio.kiosk == self.handle:
            fragment = radio.take_fragment()
            if fragment is not None:
                session.feed(fragment, len(fragment), self._clock.uptime_ms())
            self._send(until_ms)
            # After each fragment: one who never stops writing is sent away as well.
            if session.tick(self._clock.uptime_ms()) or session.broken:
                radio.wait(_HANG_UP_MS)  # the last answer is still on its way
                radio.disconnect(self.handle)
                radio.wait(_HANG_UP_MS)
                break
            if fragment is None:
                break
        return self._follow() or changed

    def _follow(self):
        # Also when one kiosk has taken the place of another: nothing of the session passes on.
        handle = self._radio.kiosk
        if handle == self.handle:
            return False
        self.handle = handle
        self._session.disconnected()
        if handle >= 0:
            self._session.connected()
        return True

    def _send(self, until_ms):
        radio = self._radio
        handle = self.handle
        view = memoryview(self._reply)
        patience = _NO_ROOM_LIMIT
        while radio.kiosk == handle and self._clock.uptime_ms() < until_ms:
            length = self._session.next_fragment(self._reply, min(radio.fragment_bytes(), _FRAGMENT_BYTES))
            if length == 0:
                return
            try:
                if radio.notify(handle, view[:length]):
                    self._session.sent(length)
                    patience = _NO_ROOM_LIMIT
                    continue
            except OSError:
                patience = 0
            if patience == 0:
                radio.disconnect(handle)
                return
            patience -= 1
            radio.wait(_NO_ROOM_MS)
