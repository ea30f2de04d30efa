"""Roots in files: kept safe, told apart, and never overwritten; and what is derived from them."""

import json
import stat
from contextlib import redirect_stderr, redirect_stdout
from io import StringIO

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from host_tools import cli
from host_tools.errors import UserError
from host_tools.provisioning import escrow, key_file
from host_tools.provisioning.key_file import KeyFileError
from host_tools.provisioning.token_keys import AuthorityRoot, KioskRoot, Roots, token_keys
from tracing import records, sealing
from tracing.state import State

PASSPHRASE = "five words that nobody knows"
SERIAL = b"\x01\x02\x03\x04\x05\x06\x07\x08"
ROOTS = Roots(KioskRoot(bytes(range(32))), AuthorityRoot(bytes(range(32, 64))))


@pytest.fixture(autouse=True)
def quick_scrypt(monkeypatch):
    monkeypatch.setitem(key_file._SCRYPT, "n", 1 << 10)


def run(*args):
    with redirect_stdout(StringIO()) as out, redirect_stderr(StringIO()) as err:
        status = cli.run(cli.build_app(), [str(arg) for arg in args])
    return status, out.getvalue(), err.getvalue()


@pytest.fixture
def passphrase_file(tmp_path):
    path = tmp_path / "passphrase"
    path.write_text(PASSPHRASE + "\n")
    return path


@pytest.mark.parametrize(("kind", "root_class"), [("kiosk", KioskRoot), ("authority", AuthorityRoot)])
def test_a_root_comes_back(tmp_path, kind, root_class):
    root = key_file.new_root(kind)
    path = tmp_path / "key.json"
    key_file.save(path, root, PASSPHRASE)
    assert key_file.load(path, root_class, PASSPHRASE) == root
    assert key_file.describe(path)["kind"] == kind
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert root.secret.hex() not in path.read_text()
    assert list(tmp_path.iterdir()) == [path]


def test_a_root_is_never_overwritten(tmp_path):
    path = tmp_path / "key.json"
    key_file.save(path, ROOTS.kiosk, PASSPHRASE)
    before = path.read_bytes()
    with pytest.raises(KeyFileError, match="exists already"):
        key_file.save(path, key_file.new_root("kiosk"), PASSPHRASE)
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


def test_a_wrong_passphrase(tmp_path):
    path = tmp_path / "key.json"
    key_file.save(path, ROOTS.kiosk, PASSPHRASE)
    with pytest.raises(KeyFileError, match="passphrase does not open"):
        key_file.load(path, KioskRoot, PASSPHRASE + " ")


def test_a_short_passphrase(tmp_path):
    with pytest.raises(KeyFileError, match="longer"):
        key_file.save(tmp_path / "key.json", ROOTS.kiosk, "short")
    assert not list(tmp_path.iterdir())


def test_the_other_root(tmp_path):
    path = tmp_path / "key.json"
    key_file.save(path, ROOTS.kiosk, PASSPHRASE)
    with pytest.raises(KeyFileError, match="needs that of the health authority"):
        key_file.load(path, AuthorityRoot, PASSPHRASE)


def test_a_file_cannot_be_made_to_pass_for_another(tmp_path):
    path = tmp_path / "key.json"
    key_file.save(path, ROOTS.kiosk, PASSPHRASE)
    data = json.loads(path.read_text())
    for change in ({"kind": "authority"}, {"fingerprint": "0" * 16}, {"nonce": "AAAAAAAAAAAAAAAA"}):
        path.write_text(json.dumps(data | change))
        with pytest.raises(KeyFileError, match="was changed"):
            key_file.load(path, key_file.KINDS[change.get("kind", "kiosk")], PASSPHRASE)


@pytest.mark.parametrize(
    "text",
    [
        "", "{}", "[]", "nonsense", "[" * 100_000, '{"bluezone_key": 2}', '{"bluezone_key": 1, "kind": "king"}',
        '{"bluezone_key": 1, "kind": "kiosk", "fingerprint": "00"}',
        '{"bluezone_key": 1, "kind": "kiosk", "fingerprint": "00", "scrypt": {"n": 1099511627776, "r": 8, "p": 1, '
        '"salt": ""}, "nonce": "", "sealed": ""}',
        '{"bluezone_key": 1, "kind": "kiosk", "fingerprint": "00", "scrypt": {"n": "2", "r": 8, "p": 1, "salt": ""}}',
    ],
)  # fmt: skip
def test_what_is_no_key_file(tmp_path, text):
    path = tmp_path / "key.json"
    path.write_text(text)
    with pytest.raises(KeyFileError, match="key file"):
        key_file.load(path, KioskRoot, PASSPHRASE)


def test_places_that_cannot_be(tmp_path):
    with pytest.raises(KeyFileError, match="no key file"):
        key_file.describe(tmp_path / "none")
    with pytest.raises(KeyFileError, match="cannot be read"):
        key_file.describe(tmp_path)
    with pytest.raises(KeyFileError, match="cannot be written"):
        key_file.save(tmp_path / "none" / "key.json", ROOTS.kiosk, PASSPHRASE)


# --- Commands --------------------------------------------------------------------------------------------------


def test_new_and_show(tmp_path, passphrase_file):
    path = tmp_path / "kiosk.key"
    status, out, _ = run("key", "new", "kiosk", path, "--passphrase-file", passphrase_file, "--json")
    assert status == 0
    shown = json.loads(out)
    assert shown == {"file": str(path), "kind": "kiosk", "fingerprint": key_file.describe(path)["fingerprint"]}
    assert json.loads(run("key", "show", path, "--json")[1]) == shown
    assert shown["fingerprint"] in run("key", "show", path)[1]
    assert key_file.load(path, KioskRoot, PASSPHRASE).fingerprint == shown["fingerprint"]


def test_a_passphrase_from_the_environment(tmp_path, monkeypatch):
    monkeypatch.setenv("BLUEZONE_PASSPHRASE", PASSPHRASE)
    assert run("key", "new", "authority", tmp_path / "key")[0] == 0
    key_file.load(tmp_path / "key", AuthorityRoot, PASSPHRASE)


def test_nobody_to_ask(tmp_path, monkeypatch):
    monkeypatch.delenv("BLUEZONE_PASSPHRASE", raising=False)
    status, _, err = run("key", "new", "kiosk", tmp_path / "key")
    assert status == 2
    assert "BLUEZONE_PASSPHRASE" in err
    assert not (tmp_path / "key").exists()


@pytest.mark.parametrize(
    "args",
    [
        ("key", "new", "king", "file"),
        ("key", "show", "none"),
        ("sync", "--cases", "none", "--keys", "none"),
        ("release", "3J2824", "out", "--keys", "none"),
        ("key", "new", "kiosk", "file", "--passphrase-file", "none"),
    ],
)
def test_unusable_input_is_a_sentence(tmp_path, monkeypatch, args):
    monkeypatch.chdir(tmp_path)
    status, _, err = run(*args)
    assert status == 2
    assert err.endswith(".\n")
    assert not list(tmp_path.iterdir())


# --- What a token gets -----------------------------------------------------------------------------------------


def test_labels_are_those_of_the_specification():
    # Written out, so that a change of a label is a change of this test.
    given = token_keys(ROOTS, SERIAL, bytes(32), 18_480, bytes(16))
    kiosk, authority = bytes(range(32)), bytes(range(32, 64))
    assert given.sync_key == sealing.hkdf(kiosk, b"", b"bluezone sync key 3J2824", 32)
    assert given.log_root == sealing.hkdf(kiosk, b"", b"bluezone log root " + SERIAL, 32)
    assert given.code_key == sealing.hkdf(authority, b"", b"bluezone release code " + SERIAL, 32)
    both = sealing.hkdf(authority, b"", b"bluezone escrow " + SERIAL, 48)
    assert given.escrow == escrow.seal(escrow.EscrowKeys(both[:16], both[16:]), bytes(32), bytes(16))


def test_the_state_of_a_provisioned_token():
    given = token_keys(ROOTS, SERIAL, b"\xab" * 32, 18_480, bytes(16))
    state = given.state(1_596_844_800)
    assert vars(state).keys() == vars(State()).keys()
    assert (state.flags, state.serial, state.daily_key) == (records.STATE_PROVISIONED, SERIAL, b"\xab" * 32)
    assert state.key_day == state.first_day == 18_480
    assert (state.sync_key, state.log_key, state.code_key) == (given.sync_key, given.log_root, given.code_key)
    assert (state.escrow, state.last_time_s, state.log_segment) == (given.escrow, 1_596_844_800, 0)


def test_keys_are_not_shown_by_accident():
    given = token_keys(ROOTS, SERIAL, b"\xab" * 32, 18_480, bytes(16))
    shown = repr((ROOTS, given, ROOTS.authority.escrow_keys(SERIAL)))
    for secret in (ROOTS.kiosk.secret, ROOTS.authority.secret, given.daily_key, given.sync_key, given.code_key):
        assert repr(secret)[2:-1] not in shown
        assert secret.hex() not in shown


@given(key=st.binary(min_size=32, max_size=32), random=st.binary(min_size=16, max_size=16), bit=st.integers(0, 511))
@settings(deadline=None)
def test_an_escrow_opens_whole_and_under_its_own_keys_only(key, random, bit):
    keys = ROOTS.authority.escrow_keys(SERIAL)
    sealed = escrow.seal(keys, key, random)
    assert len(sealed) == escrow.ESCROW_BYTES == 64
    assert escrow.open_escrow(keys, sealed) == key
    changed = bytearray(sealed)
    changed[bit // 8] ^= 1 << bit % 8
    for wrong in (
        lambda: escrow.open_escrow(keys, bytes(changed)),
        lambda: escrow.open_escrow(keys, sealed[:-1]),
        lambda: escrow.open_escrow(ROOTS.authority.escrow_keys(b"\x02" + SERIAL[1:]), sealed),
        lambda: escrow.open_escrow(AuthorityRoot(bytes(32)).escrow_keys(SERIAL), sealed),
    ):
        with pytest.raises(UserError, match="does not open"):
            wrong()
