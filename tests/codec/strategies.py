"""Hypothesis strategies for all payloads of the model, within the ranges of RFC 7296."""

from ipaddress import ip_address

from hypothesis import strategies as st

from node.model.message import Header
from node.model.payloads import (
    Authentication,
    AuthNonce,
    Certificate,
    CertificateRequest,
    Configuration,
    ConfigurationAttribute,
    Delete,
    Eap,
    Identification,
    KeyExchange,
    Nonce,
    Notify,
    Payload,
    SecurityAssociation,
    TrafficSelectors,
    Unknown,
    VendorId,
)
from node.model.proposal import Attribute, Proposal, Transform
from node.model.registry import (
    AuthMethod,
    CertEncoding,
    ExchangeType,
    IdType,
    KeId,
    NotifyType,
    PayloadType,
    ProtocolId,
    TransformType,
)
from node.model.selectors import TrafficSelector

octet, two_octets, fifteen_bits = (st.integers(0, 2**bits - 1) for bits in (8, 16, 15))
data = st.binary(max_size=300)
spi = st.binary(max_size=16)

attributes = st.builds(Attribute, fifteen_bits, data, st.just(False)) | st.builds(
    Attribute, fifteen_bits, st.binary(min_size=2, max_size=2), st.just(True)
)
#: Numbers that the table of identifiers knows come up often, so that both ways of writing are met.
transforms = st.builds(
    Transform,
    st.one_of(st.sampled_from([1, 2, 3, 4, 5]), octet).map(TransformType),
    st.one_of(st.sampled_from([0, 1, 5, 6, 7, 12, 13, 14, 19, 20, 28, 31, 36]), two_octets),
    st.one_of(st.none(), st.sampled_from([128, 192, 256]), two_octets),
    st.lists(attributes, max_size=2).map(tuple),
)
known = st.sampled_from(
    [
        Transform(TransformType.ENCR, 12, 256),
        Transform(TransformType.PRF, 5),
        Transform(TransformType.INTEG, 12),
        Transform(TransformType.INTEG, 0),
        Transform(TransformType.KE, 14),
        Transform(TransformType.KE, 0),
    ]
)
proposals = st.builds(
    Proposal,
    st.integers(1, 255),
    st.one_of(st.just(1), octet).map(ProtocolId),
    spi,
    (st.lists(known, max_size=5) | st.lists(transforms, max_size=6)).map(tuple),
)


@st.composite
def selectors(draw: st.DrawFn) -> TrafficSelector:
    size = draw(st.sampled_from([4, 16]))
    start, end = (ip_address(draw(st.binary(min_size=size, max_size=size))) for _ in range(2))
    return TrafficSelector(start, end, draw(octet), draw(two_octets), draw(two_octets))


@st.composite
def deletes(draw: st.DrawFn) -> Delete:
    size = draw(st.integers(1, 16))
    spis = draw(st.lists(st.binary(min_size=size, max_size=size), max_size=5))
    return Delete(ProtocolId(draw(octet)), tuple(spis))


payloads: st.SearchStrategy[Payload] = st.one_of(
    st.builds(SecurityAssociation, st.lists(proposals, min_size=1, max_size=4).map(tuple)),
    st.builds(KeyExchange, two_octets.map(KeId), data),
    st.builds(Identification, st.sampled_from([PayloadType.IDI, PayloadType.IDR]), octet.map(IdType), data),
    st.builds(Certificate, octet.map(CertEncoding), data),
    st.builds(CertificateRequest, octet.map(CertEncoding), data),
    st.builds(Authentication, octet.map(AuthMethod), data),
    st.builds(Nonce, st.binary(min_size=16, max_size=256)),
    st.builds(AuthNonce, data),
    st.builds(Notify, two_octets.map(NotifyType), data, octet.map(ProtocolId), spi),
    deletes(),
    st.builds(VendorId, data),
    st.builds(
        TrafficSelectors,
        st.sampled_from([PayloadType.TSI, PayloadType.TSR]),
        st.lists(selectors(), max_size=4).map(tuple),
    ),
    st.builds(
        Configuration,
        octet,
        st.lists(st.builds(ConfigurationAttribute, fifteen_bits, data), max_size=4).map(tuple),
    ),
    st.builds(Eap, data),
    st.builds(
        Unknown,
        st.sampled_from(sorted(set(range(256)) - set(PayloadType))).map(PayloadType),
        st.booleans(),
        data,
    ),
)
messages = st.lists(payloads, max_size=8).map(tuple)
headers = st.builds(
    Header,
    st.binary(min_size=8, max_size=8),
    st.binary(min_size=8, max_size=8),
    octet.map(ExchangeType),
    st.integers(0, 2**32 - 1),
    octet,
    octet,
)
