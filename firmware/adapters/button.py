"""A contact that interrupts, and the gestures made of it. Boards say when the contact changes."""

from time import ticks_ms

from tracing.button import Button


def _nothing():
    pass


class ContactButton:
    """The button port.

    Attributes:
        on_edge: called in the irq after every edge.
    """

    def __init__(self):
        self._button = Button()
        self.on_edge = _nothing

    def edge(self, contact):
        """The contact has changed (True: pressed); called in the irq."""
        self._button.edge(contact, ticks_ms())
        self.on_edge()

    def take(self):
        """The next gesture, one of tracing.button's; NOTHING mostly."""
        return self._button.update(ticks_ms())

    @property
    def restless(self):
        """True while the button is pressed or has not settled: call `take` every few hundred ms."""
        return self._button.restless
