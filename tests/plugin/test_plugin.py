"""The pytest plugin as its users have it: pytest in a process of its own, labs of plain processes."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from lab import pytest_plugin
from lab.backends.choose import NAMES

pytest_plugins = ["pytester"]

PATIENCE = 120


@pytest.fixture
def home(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where labs of the inner pytest are; nothing of our own environment gets there."""
    for name in list(os.environ):
        if name.startswith(("IPSECLAB_", "NODE_", "CA_", "PYTEST_")) or name in ("FORCE_COLOR", "NO_COLOR"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("IPSECLAB_HOME", str(pytester.path / "home"))
    return pytester.path / "home"


def run(pytester: pytest.Pytester, text: str, *options: str) -> pytest.RunResult:
    pytester.makepyfile(text)
    words = ("-p", "no:cacheprovider", "--strict-markers", "--ipsec-backend", "process", *options)
    return pytester.runpytest_subprocess(*words, timeout=PATIENCE)


def left(home: Path) -> list[str]:
    return [path.name for path in home.glob("labs/*")]


def test_a_lab_can_be_looked_at_waited_for_and_judged(pytester: pytest.Pytester, home: Path) -> None:
    text = """
        def test_it(ipsec_lab):
            lab = ipsec_lab
            assert lab.nodes == ("responder", "initiator")
            assert (lab.backend, repr(lab)) == ("process", f"<IpsecLab {lab.name} (process)>")
            done = lab.run("initiator", "sh", "-c", "echo out; echo err >&2; exit 3")
            assert (done.returncode, done.stdout, done.stderr) == (3, "out\\n", "err\\n")
            assert lab.run("initiator", "no-such-command").returncode == 127
            assert lab.status("responder")["ike_sas"][0]["phase"] == "ESTABLISHED"
            assert lab.wait("initiator", "pings_completed", where={"received": 10}).fields["sent"] == 10
            assert lab.judge().passed
            assert lab.run("initiator", "python", "-m", "node", "ctl", "terminate").returncode == 0
            assert lab.wait("responder", "ike_sa_deleted", timeout=10).node == "responder"
            assert "ike_sa_deleted" in [event.name for event in lab.events("responder")]
            verdict = lab.judge()
            assert not verdict.passed
            assert {c.reason for c in verdict.checks if not c.passed} == {"found no SA is left"}
    """
    run(pytester, text).assert_outcomes(passed=1)
    assert left(home) == []


def test_the_marker_names_a_scenario_or_a_file_beside_the_test(pytester: pytest.Pytester, home: Path) -> None:
    pytester.makefile(
        ".yaml",
        mine="title: t\ndescription: d\nnodes: {responder: , left: }\n"
        "expect: {responder: {}, left: {events: [ike_sa_established]}}\n",
    )
    text = """
        import pytest

        @pytest.mark.ipsec_scenario("wrong-ca")
        def test_name(ipsec_lab):
            assert ipsec_lab.events("responder")[0].name == "node_started"
            ipsec_lab.wait("responder", "authentication_failed")

        @pytest.mark.ipsec_scenario("mine.yaml")
        def test_file(ipsec_lab):
            assert ipsec_lab.nodes == ("responder", "left")
            assert ipsec_lab.judge().passed
    """
    run(pytester, text).assert_outcomes(passed=2)
    assert left(home) == []


def test_a_test_that_fails_shows_what_each_node_saw(pytester: pytest.Pytester, home: Path) -> None:
    text = """
        def test_it(ipsec_lab):
            ipsec_lab.wait("initiator", "ike_sa_deleted", timeout=0.1)
    """
    result = run(pytester, text)
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(
        [
            "E *CheckFailed: initiator did not tell ike_sa_deleted within 0.1 s: the last it told was *",
            "-* IPsec lab hello-* -*",
            "  doctor    ports *",
            "  responder (still running) saw, the last 20 of *",
            "*ESP payload decrypted*",
            "  initiator (still running) saw, the last 20 of *",
        ]
    )
    assert "def wait" not in result.stdout.str(), "the plugin's own lines are in the traceback"
    assert left(home) == []


def test_labs_of_failing_tests_are_kept_when_asked(pytester: pytest.Pytester, home: Path) -> None:
    text = """
        def test_bad(ipsec_lab_factory):
            one, two = ipsec_lab_factory(), ipsec_lab_factory("wrong-ca")
            assert one.name != two.name
            assert one.name == "x"

        def test_good(ipsec_lab):
            pass
    """
    result = run(pytester, text, "--ipsec-keep-on-failure")
    result.assert_outcomes(failed=1, passed=1)
    kept = left(home)
    assert sorted(name.rpartition("-")[0] for name in kept) == ["hello", "wrong-ca"]
    for name in kept:
        result.stdout.fnmatch_lines([f"  kept: ipseclab status -n {name} -b process, and in the end *"])
        words = ("-m", "lab", "down", "-n", name, "-b", "process")
        assert subprocess.run([sys.executable, *words], check=False).returncode == 0
    assert left(home) == []


def test_a_lab_is_shared_as_far_as_the_marker_says(pytester: pytest.Pytester, home: Path) -> None:
    text = """
        import pytest
        pytestmark = pytest.mark.ipsec_scenario("hello", scope="module")
        names = []

        def test_one(ipsec_lab):
            names.append(ipsec_lab.name)

        class TestClass:
            def test_two(self, ipsec_lab):
                names.append(ipsec_lab.name)

            @pytest.mark.ipsec_scenario(scope="class")
            def test_three(self, ipsec_lab):
                names.append(ipsec_lab.name)

        def test_four(ipsec_lab):
            assert names[0] == names[1] == ipsec_lab.name != names[2]
            assert False
    """
    result = run(pytester, text)
    result.assert_outcomes(passed=3, failed=1)
    result.stdout.fnmatch_lines(["-* IPsec lab hello-* -*"])
    assert left(home) == []


def test_a_lab_that_does_not_come_up_is_an_error_with_what_its_nodes_saw(
    pytester: pytest.Pytester, home: Path
) -> None:
    pytester.makefile(
        ".yaml",
        hopeless="title: t\ndescription: d\nexpect: {responder: {events: [ike_sa_deleted]}, initiator: {}}\n",
    )
    text = """
        import pytest

        @pytest.mark.ipsec_scenario("hopeless.yaml")
        def test_it(ipsec_lab):
            pass
    """
    result = run(pytester, text, "--ipsec-timeout", "2")
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines(
        [
            "lab 'hopeless-*' did not come up as it should: FAIL hopeless *",
            "-* IPsec lab hopeless-* -*",
        ]
    )
    assert left(home) == []


def test_what_is_misspelt_is_told_at_once(pytester: pytest.Pytester, home: Path) -> None:
    text = """
        import pytest

        def test_words(ipsec_lab):
            for call, said in (
                (lambda: ipsec_lab.status("responde"), "(did you mean responder?)"),
                (lambda: ipsec_lab.run("x", "true"), "has no node 'x'"),
                (lambda: ipsec_lab.wait("responder", "udp_bond"), "did you mean udp_bound?"),
            ):
                with pytest.raises(Exception, match=".*") as caught:
                    call()
                assert said in str(caught.value)

        @pytest.mark.ipsec_scenario("helo")
        def test_scenario(ipsec_lab):
            pass

        @pytest.mark.ipsec_scenario("hello", scope="packge")
        def test_scope(ipsec_lab):
            pass

        @pytest.mark.ipsec_scenario("hello", "wrong-ca")
        def test_marker(ipsec_lab):
            pass
    """
    result = run(pytester, text)
    result.assert_outcomes(passed=1, errors=3)
    result.stdout.fnmatch_lines(
        [
            "*scenario 'helo' is unknown (did you mean hello?)*",
            "*scope 'packge' is unknown: choose function, class, module, session*",
            "*write it as ipsec_scenario('hello', scope='module')*",
        ]
    )
    assert left(home) == []


def test_an_environment_that_is_not_ready_is_an_error_not_a_skip(
    pytester: pytest.Pytester, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DOCKER_HOST", "unix:///nowhere")
    result = run(pytester, "def test_it(ipsec_lab): pass", "--ipsec-backend", "docker")
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines(["*Docker is not running at unix:///nowhere*", "*E-ENGINE-DOWN*"])


def test_workers_have_labs_of_their_own(pytester: pytest.Pytester, home: Path) -> None:
    text = """
        import pytest

        @pytest.mark.parametrize("number", range(2))
        def test_it(ipsec_lab, number, worker_id):
            assert worker_id.startswith("gw")
            assert ipsec_lab.judge().passed
    """
    run(pytester, text, "-n", "2").assert_outcomes(passed=2)
    assert left(home) == []


def test_an_interrupted_session_leaves_nothing(pytester: pytest.Pytester, home: Path) -> None:
    pytester.makepyfile(
        """
        def test_it(ipsec_lab):
            print("it is up", flush=True)
            ipsec_lab.wait("responder", "ike_sa_deleted", timeout=300)
        """
    )
    words = ("-m", "pytest", "-s", "-p", "no:cacheprovider", "--ipsec-backend", "process")
    with subprocess.Popen([sys.executable, *words], cwd=pytester.path, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert any(b"it is up" in line for line in process.stdout)
        assert left(home) != []
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=PATIENCE)
    assert process.returncode == pytest.ExitCode.INTERRUPTED
    assert left(home) == []


def test_it_costs_nothing_where_it_is_not_used(pytester: pytest.Pytester, home: Path) -> None:
    text = """
        import sys

        def test_it(pytestconfig):
            assert pytestconfig.pluginmanager.get_plugin("ipseclab") is sys.modules["lab.pytest_plugin"]
            ours = ("lab", "node", "docker", "yaml")
            found = [name for name in sys.modules if name.partition(".")[0] in ours]
            assert sorted(found) == ["lab", "lab.pytest_plugin"]
    """
    began = time.monotonic()
    run(pytester, text).assert_outcomes(passed=1)
    assert time.monotonic() - began < 60


def test_its_backends_are_those_of_the_lab() -> None:
    assert pytest_plugin.BACKENDS == NAMES
