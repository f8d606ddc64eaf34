"""Numbers without a name are numbers all the same; secrets stay secret."""

import pickle

import pytest

from node.model import registry
from node.model.identity import parse_identity
from node.model.registry import EncrId, IdType, NotifyType, OpenIntEnum
from node.model.secret import Secret

TABLES = [
    t
    for t in vars(registry).values()
    if isinstance(t, type) and issubclass(t, OpenIntEnum) and t is not OpenIntEnum
]


@pytest.mark.parametrize("table", TABLES, ids=lambda t: t.__name__)
def test_every_number_is_representable(table: type[OpenIntEnum]) -> None:
    before = len(table)
    for number in range(300):
        value = table(number)
        assert value == number
        assert str(value) == (value.name if value.known else f"{table.__name__}_{number}")
    assert len(table) == before
    assert table(60_000) == table(60_000)


def test_negative_numbers_are_refused() -> None:
    with pytest.raises(ValueError, match="-1"):
        EncrId(-1)


def test_errors_and_status() -> None:
    assert NotifyType(16383).is_error
    assert not NotifyType(16384).is_error


def test_a_secret_does_not_show() -> None:
    secret = Secret(b"top secret")
    assert "top" not in repr(secret) + str(secret) + f"{secret}"
    assert secret == Secret(b"top secret")
    assert secret != Secret(b"other")
    assert secret != b"top secret"
    assert len(secret) == 10
    with pytest.raises(TypeError):
        pickle.dumps(secret)
    with pytest.raises(TypeError):
        hash(secret)


def test_identities_as_text() -> None:
    found = parse_identity("fqdn:responder")
    assert (found.id_type, found.text, str(found)) == (IdType.ID_FQDN, "responder", "fqdn:responder")
    assert parse_identity("dn:CN=a,O=b:c").text == "CN=a,O=b:c"


@pytest.mark.parametrize("text", ["", "responder", "fqdn:", ":x", "FQDN:x", "email:x"])
def test_what_is_no_identity(text: str) -> None:
    with pytest.raises(ValueError, match="fqdn:responder"):
        parse_identity(text)
