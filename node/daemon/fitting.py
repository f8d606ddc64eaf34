"""Whether our certificates fit into a message: better known at start than from the first peer."""

from collections.abc import Sequence

from node.config import Config
from node.crypto import aead
from node.daemon.failure import StartError
from node.errors import MessageTooLarge
from node.ike.settings import Settings
from node.model.child import DirectionKeys
from node.model.message import SPI_SIZE, Header, HeaderFlags
from node.model.payloads import Certificate, Notify
from node.model.registry import CertEncoding, ExchangeType, NotifyType
from node.model.secret import Secret
from node.ports import Codec, Sealer

#: Octets of IKE_AUTH beside the certificates: identities, an RSA-4096 signature, some proposals and
#: selectors. Where it is more than that, the engine finds out for itself, and the IKE SA fails.
BESIDE = 1_000


def check_chain(config: Config, settings: Settings, codec: Codec, chain: Sequence[bytes]) -> None:
    """Raises StartError where no IKE_AUTH, in fragments where they are on, can hold these certificates."""
    header = Header(bytes(SPI_SIZE), bytes(SPI_SIZE), ExchangeType.IKE_AUTH, 1, HeaderFlags.INITIATOR)
    certificates = [Certificate(CertEncoding.X509_SIGNATURE, octets) for octets in chain]
    others = Notify(NotifyType.INITIAL_CONTACT, bytes(BESIDE))
    try:
        codec.seal(header, (*certificates, others), _sealer(settings), settings.mtu)
    except MessageTooLarge as error:
        octets, size = sum(map(len, chain)), config.ike.fragment_size
        raise StartError(
            f"credentials.certificate: {config.credentials.certificate}: {len(chain)} certificates of "
            f"{octets} octets do not fit into an IKE_AUTH message with ike.fragment_size {size}: "
            f"{'raise it' if size else 'set that to 1280'}, or give fewer or smaller certificates"
        ) from error


def _sealer(settings: Settings) -> Sealer:
    """One of the suite we like best. Nothing that it seals goes anywhere: only the size is asked for."""
    suite = settings.ike_suites[0]
    sizes = aead.encr_key_size(suite.encr), aead.integ_key_size(suite.integ)
    keys = DirectionKeys(*(Secret(bytes(size)) for size in sizes))
    return aead.sealer(suite.encr, suite.integ, keys, bytes)
