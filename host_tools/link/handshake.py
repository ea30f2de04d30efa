"""Kiosk and token show each other that they have the token's sync key; from then on everything is sealed."""

import secrets

from tracing import kiosk_messages as wire
from tracing import messages, sealing

from .channel import Channel
from .errors import SessionRefused, StrangeToken


async def authenticate(channel: Channel, sync_key: bytes) -> None:
    """Open a session. The token proves itself first: a stranger learns nothing from this kiosk.

    Args:
        sync_key: 32 bytes, of the token that the kiosk believes to have before it.

    Raises:
        StrangeToken: the token does not have the key.
        SessionRefused: no consent, another kiosk, another version, or the token does not accept the kiosk's proof.
        SessionError: as of any request.
    """
    nonce = secrets.token_bytes(wire.NONCE_BYTES)
    version, kind, token_nonce, proof = await channel.request(wire.HELLO, wire.PROTOCOL_VERSION, nonce)
    if (version, kind) != (wire.PROTOCOL_VERSION, wire.AUTH_KEY):
        channel.usable = False
        raise SessionRefused(wire.ERROR_VERSION)
    nonces = nonce + token_nonce
    if not sealing.equal(messages.token_proof(sync_key, nonces), proof):
        channel.usable = False
        raise StrangeToken
    with channel.exchange():
        await channel.send(wire.AUTH, messages.kiosk_proof(sync_key, nonces))
        channel.seal(sync_key, nonces)
        channel.answer(wire.AUTH, await channel.receive())
