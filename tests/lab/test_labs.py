"""Real labs: scenarios on every backend, and the tunnel of the default lab in containers, octet for octet."""

from collections.abc import Callable

import pytest

from lab import library
from tests.lab import scenarios
from tests.lab.conftest import Cli, RunningLab


@pytest.mark.parametrize(("backend", "scenario"), scenarios.parameters(scenarios.SHORT))
def test_scenario(cli: Cli, lab_name: Callable[[str], str], backend: str, scenario: str) -> None:
    scenarios.judge(cli, backend, lab_name(backend), scenario)


def test_every_scenario_is_run_and_some_on_every_backend() -> None:
    """None is left out by its name, nor run twice: what `make test` leaves out is in `make test-long`."""
    every = {(backend, name) for backend in ("docker", "netns", "process") for name in library.names()}
    assert len(scenarios.SHORT) + len(scenarios.REST) == len(every)
    assert {*scenarios.SHORT, *scenarios.REST} == every
    assert {name for _, name in scenarios.SHORT} == set(library.names())
    assert set(scenarios.EVERYWHERE) < set(library.names())


@pytest.mark.docker
def test_the_tunnel_is_complete_and_the_payload_decrypted(docker_lab: RunningLab) -> None:
    lab = docker_lab
    assert lab.outcome.verdict.passed, lab.saw()
    for node, peer in (("responder", "initiator"), ("initiator", "responder")):
        lab.event(node, "peer_certificate_verified")
        assert lab.event(node, "peer_identity_verified").fields["identity"] == f"fqdn:{peer}", lab.saw()
        lab.event(node, "peer_auth_verified")
        lab.event(node, "child_sa_installed")
    sent = lab.event("initiator", "esp_payload_sent")
    decrypted = lab.event("responder", "esp_payload_decrypted")
    assert decrypted.fields["text"] == "Hello from IPSec Initiator!", lab.saw()
    place = ("spi", "sequence")
    assert [decrypted.fields[key] for key in place] == [sent.fields[key] for key in place], lab.saw()
    assert "Hello from IPSec Initiator!" in str(lab.event("initiator", "esp_ack_received").fields["text"])
    pings = lab.event("initiator", "pings_completed").fields
    assert (pings["sent"], pings["received"], pings["via"]) == (10, 10, "kernel"), lab.saw()


@pytest.mark.docker
def test_both_ends_agree_on_the_sas(docker_lab: RunningLab) -> None:
    lab = docker_lab.runner.backend.lab(docker_lab.outcome.plan.lab)
    one, other = (lab.control(node, ["status"], 20) for node in ("responder", "initiator"))
    (ours,), (theirs,) = one["ike_sas"], other["ike_sas"]
    for key in ("spi_i", "spi_r", "suite"):
        assert ours[key] == theirs[key]
    (inbound,), (outbound,) = one["child_sas"], other["child_sas"]
    assert inbound["inbound_spi"] == outbound["outbound_spi"]
    assert inbound["outbound_spi"] == outbound["inbound_spi"]
    assert inbound["inbound_packets"] == outbound["outbound_packets"] >= 11
    assert one["dropped"] == other["dropped"] == {}


@pytest.mark.docker
def test_a_node_that_is_asked_opens_another_sa(docker_lab: RunningLab) -> None:
    """Waiting is for events: the control socket starts it, the event stream ends it."""
    lab = docker_lab.runner.backend.lab(docker_lab.outcome.plan.lab)
    before = docker_lab.wait("initiator", "ike_sa_established")
    lab.control("initiator", ["initiate"], 20)
    again = docker_lab.wait("responder", "ike_sa_established")
    assert again.fields["peer_identity"] == "fqdn:initiator"
    assert before.fields["peer_identity"] == "fqdn:responder"


@pytest.mark.docker
def test_containers_have_no_more_rights_than_they_need(docker_lab: RunningLab) -> None:
    """What the engine says of the running containers, not what we asked for."""
    import docker

    client = docker.from_env()
    try:
        name = docker_lab.outcome.plan.lab
        found = client.containers.list(all=True, filters={"label": f"org.ipseclab.lab={name}"})
        assert {c.labels["org.ipseclab.role"] for c in found} == {"ca", "responder", "initiator"}
        for container in found:
            host = container.attrs["HostConfig"]
            assert not host["Privileged"]
            assert host["CapDrop"] == ["ALL"]
            assert host["ReadonlyRootfs"]
            assert host["SecurityOpt"] == ["no-new-privileges:true"]
            assert {"org.ipseclab.owner", "org.ipseclab.session"} <= set(container.labels)
        (network,) = client.networks.list(filters={"label": f"org.ipseclab.lab={name}"})
        assert network.attrs["Internal"]
        volumes = client.volumes.list(filters={"label": f"org.ipseclab.lab={name}"})
        assert len(volumes) == 4
    finally:
        client.close()
