"""A contact that interrupts, and the gestures made of it. Boards say when the contact changes."""

from time import ticks_ms

from tracing.button import NOTHING, Button


def _nothing():
    pass


class ContactButton:
    """The button port.

    Attributes:
        on_edge: called in the irq after every edge.
    """

    def __init__(self):
        self._button = Button()
        self._contact = False
        self._gesture = NOTHING
        self.on_edge = _nothing

    def edge(self, contact):
        """The contact has changed (True: pressed); called in the irq."""
        self._contact = contact
        self._gesture = self._button.update(contact, ticks_ms()) or self._gesture
        self.on_edge()

    def take(self):
        """The gesture since the last call, one of tracing.button's; NOTHING mostly."""
        gesture = self._button.update(self._contact, ticks_ms()) or self._gesture
        self._gesture = NOTHING
        return gesture

    @property
    def restless(self):
        """True while the button is pressed or has not settled: call `take` every few hundred ms."""
        return self._button.restless
