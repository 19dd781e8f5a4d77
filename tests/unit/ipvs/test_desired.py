"""keepalived's rules for what is in the table: up and down, quorum, sorry server, inhibit, holding."""

from __future__ import annotations

from ipaddress import ip_address

import pytest

from ipvs_proc.desired import Decision, Memory, ServerId, desired, infer_memory
from ipvs_proc.model import SVC_F_ONEPACKET, SVC_F_PERSISTENT, ServiceKey
from keepalived_conf.model import IpvsSlice
from tests.unit.ipvs.builders import (
    VS,
    config,
    destination,
    entry,
    fwmark,
    key,
    real,
    service,
    table,
    virtual,
    weights,
)

EMPTY = Memory()


def decide(slice_: IpvsSlice, health: dict[str, bool | None], memory: Memory = EMPTY) -> Decision:
    return desired(slice_, health, memory)


def servers_in(decision: Decision, key_: ServiceKey | None = None) -> dict[str, int]:
    return weights(decision.table[key_ or key()])


def test_servers_that_are_up_are_in_with_their_weight() -> None:
    decision = decide(config(virtual(real(1, "a", weight=3), real(2, "b"))), {"a": True, "b": True})
    assert servers_in(decision) == {"10.0.0.1:80": 3, "10.0.0.2:80": 1}


def test_a_server_without_checks_is_always_up() -> None:
    assert servers_in(decide(config(virtual(real(1, alpha=True))), {})) == {"10.0.0.1:80": 1}


def test_one_check_down_takes_the_server_out_and_is_named() -> None:
    decision = decide(config(virtual(real(1, "a", "b"), real(2))), {"a": True, "b": False})
    assert servers_in(decision) == {"10.0.0.2:80": 1}
    verdict = decision.servers[ServerId(VS, "[10.0.0.1]:80")]
    assert (verdict.up, verdict.in_table, verdict.weight) == (False, False, 0)
    assert verdict.reason == "down by TCP_CHECK"


def test_inhibit_on_failure_keeps_it_with_weight_0() -> None:
    decision = decide(config(virtual(real(1, "a", weight=5, inhibit_on_failure=True))), {"a": False})
    assert servers_in(decision) == {"10.0.0.1:80": 0}


def test_configured_weight_0_is_in_without_new_connections() -> None:
    decision = decide(config(virtual(real(1, weight=0), real(2))), {})
    assert servers_in(decision) == {"10.0.0.1:80": 0, "10.0.0.2:80": 1}


class TestStart:
    def test_unknown_is_up_without_alpha(self) -> None:
        decision = decide(config(virtual(real(1, "a"), real(2, "b"))), {"b": None})
        assert servers_in(decision) == {"10.0.0.1:80": 1, "10.0.0.2:80": 1}

    def test_unknown_is_down_with_alpha(self) -> None:
        decision = decide(config(virtual(real(1, "a", alpha=True), real(2))), {"a": None})
        assert servers_in(decision) == {"10.0.0.2:80": 1}

    def test_alpha_needs_every_check(self) -> None:
        slice_ = config(virtual(real(1, "a", "b", alpha=True)))
        first = decide(slice_, {"a": True})
        assert servers_in(first) == {}
        assert servers_in(decide(slice_, {"a": True, "b": True}, first.memory)) == {"10.0.0.1:80": 1}

    def test_alpha_service_starts_on_its_sorry_server(self) -> None:
        slice_ = config(virtual(real(1, "a", alpha=True), sorry_server=real(9)))
        decision = decide(slice_, {})
        assert servers_in(decision) == {"10.0.0.9:80": 1}
        assert not decision.services[VS].quorum_up


class TestHold:
    """Nobody acts on ignorance."""

    slice_ = config(virtual(real(1, "a"), real(2, "b")))

    def test_silence_after_down_stays_down(self) -> None:
        down = decide(self.slice_, {"a": False, "b": True})
        assert decide(self.slice_, {}, down.memory).table == down.table
        assert decide(self.slice_, {"a": None}, down.memory).table == down.table

    def test_silence_after_up_stays_up_with_alpha(self) -> None:
        slice_ = config(virtual(real(1, "a", alpha=True)))
        up = decide(slice_, {"a": True})
        assert servers_in(decide(slice_, {}, up.memory)) == {"10.0.0.1:80": 1}

    def test_each_check_is_held_by_itself(self) -> None:
        slice_ = config(virtual(real(1, "a", "b")))
        down = decide(slice_, {"a": True, "b": False})
        assert servers_in(decide(slice_, {"b": True}, down.memory)) == {"10.0.0.1:80": 1}

    def test_the_reason_says_that_it_is_held(self) -> None:
        down = decide(self.slice_, {"a": False})
        reason = decide(self.slice_, {}, down.memory).servers[ServerId(VS, "[10.0.0.1]:80")].reason
        assert "held" in reason

    def test_a_new_check_of_a_known_server_takes_its_present_state(self) -> None:
        down = decide(self.slice_, {"a": False, "b": True})
        changed = config(virtual(real(1, "a2"), real(2, "b2", alpha=True)))
        after = decide(changed, {}, down.memory)
        assert servers_in(after) == {"10.0.0.2:80": 1}
        assert servers_in(decide(changed, {"a2": True}, after.memory)) == {
            "10.0.0.1:80": 1,
            "10.0.0.2:80": 1,
        }

    def test_quorum_between_its_thresholds_keeps_its_state(self) -> None:
        slice_ = config(virtual(*(real(n, str(n)) for n in range(1, 6)), quorum=3, hysteresis=1))

        def with_up(count: int, memory: Memory) -> Decision:
            return decide(slice_, {str(n): n <= count for n in range(1, 6)}, memory)

        states = []
        memory = EMPTY
        for count in (5, 3, 2, 1, 2, 3, 4, 3, 2, 1):
            decision = with_up(count, memory)
            memory = decision.memory
            states.append(decision.services[VS].quorum_up)
        #         lost below 2: at 1; gained at 4
        assert states == [True, True, True, False, False, False, True, True, True, False]

    def test_memory_forgets_what_left_the_configuration(self) -> None:
        both = decide(self.slice_, {"a": False, "b": True})
        one = decide(config(virtual(real(2, "b"))), {}, both.memory)
        assert set(one.memory.checks) == {"b"}
        assert set(one.memory.servers) == {ServerId(VS, "[10.0.0.2]:80")}
        assert set(desired(config(), {}, one.memory).memory.quorums) == set()


class TestQuorum:
    def test_is_a_sum_of_weights(self) -> None:
        slice_ = config(virtual(real(1, "a", weight=10), real(2, "b"), quorum=10))
        heavy = decide(slice_, {"a": True, "b": False})
        light = decide(slice_, {"a": False, "b": True})
        assert (heavy.services[VS].quorum_up, heavy.services[VS].weight_up) == (True, 10)
        assert (light.services[VS].quorum_up, light.services[VS].weight_up) == (False, 1)

    def test_losing_it_removes_nothing_without_a_sorry_server(self) -> None:
        slice_ = config(virtual(real(1, "a"), real(2, "b"), quorum=2))
        decision = decide(slice_, {"a": True, "b": False})
        assert not decision.services[VS].quorum_up
        assert servers_in(decision) == {"10.0.0.1:80": 1}

    def test_losing_it_brings_the_sorry_server_and_takes_the_rest_out(self) -> None:
        slice_ = config(virtual(real(1, "a"), real(2, "b"), quorum=2, sorry_server=real(9, weight=4)))
        decision = decide(slice_, {"a": True, "b": False})
        assert servers_in(decision) == {"10.0.0.9:80": 4}
        assert decision.services[VS].sorry_active
        verdict = decision.servers[ServerId(VS, "[10.0.0.1]:80")]
        assert verdict.up
        assert not verdict.in_table
        assert "sorry server" in verdict.reason
        back = decide(slice_, {"a": True, "b": True}, decision.memory)
        assert servers_in(back) == {"10.0.0.1:80": 1, "10.0.0.2:80": 1}

    def test_inhibited_servers_stay_with_weight_0_beside_the_sorry_server(self) -> None:
        first, second = (real(n, s, inhibit_on_failure=True) for n, s in ((1, "a"), (2, "b")))
        slice_ = config(virtual(first, second, quorum=2, sorry_server=real(9)))
        assert servers_in(decide(slice_, {"a": True, "b": False})) == {
            "10.0.0.1:80": 0,
            "10.0.0.2:80": 0,
            "10.0.0.9:80": 1,
        }

    def test_weight_0_in_sum_is_lost_whatever_the_hysteresis(self) -> None:
        slice_ = config(virtual(real(1, "a"), quorum=1, hysteresis=1, sorry_server=real(9)))
        assert decide(slice_, {"a": False}).services[VS].sorry_active

    def test_sorry_server_inhibit_keeps_it_with_weight_0(self) -> None:
        slice_ = config(virtual(real(1, "a"), sorry_server=real(9), sorry_server_inhibit=True))
        up = decide(slice_, {"a": True})
        assert servers_in(up) == {"10.0.0.1:80": 1, "10.0.0.9:80": 0}
        assert servers_in(decide(slice_, {"a": False}, up.memory)) == {"10.0.0.9:80": 1}

    def test_inhibiting_the_sorry_server_does_not_touch_the_real_server_it_is_too(self) -> None:
        second = real(2, "b", weight=5)
        slice_ = config(virtual(real(1, "a"), second, sorry_server=second, sorry_server_inhibit=True))
        up = decide(slice_, {"a": True, "b": True})
        assert servers_in(up) == {"10.0.0.1:80": 1, "10.0.0.2:80": 5}
        assert servers_in(decide(slice_, {"b": False}, up.memory)) == {"10.0.0.1:80": 1, "10.0.0.2:80": 0}

    def test_sorry_server_that_is_a_real_server_too(self) -> None:
        slice_ = config(virtual(real(1, "a", weight=2), real(2, "b"), quorum=3, sorry_server=real(2)))
        assert servers_in(decide(slice_, {"a": True, "b": True})) == {"10.0.0.1:80": 2, "10.0.0.2:80": 1}
        assert servers_in(decide(slice_, {"a": True, "b": False})) == {"10.0.0.2:80": 1}


class TestService:
    def test_attributes(self) -> None:
        virtual_server = virtual(
            scheduler="sh",
            scheduler_flags=0x18,
            ops=True,
            persistence_timeout_s=300,
            persistence_prefix=24,
            protocol="UDP",
        )
        found = decide(config(virtual_server), {}).table[key(protocol="UDP")].service
        assert found == service(
            key(protocol="UDP"),
            "sh",
            flags=SVC_F_PERSISTENT | SVC_F_ONEPACKET | 0x18,
            timeout_s=300,
            prefix_length=24,
        )

    @pytest.mark.parametrize("family", [4, 6])
    def test_fwmark(self, family: int) -> None:
        virtual_server = virtual(address=None, protocol=None, fwmark=5, family=family, port=0)
        found = decide(config(virtual_server), {}).table
        assert list(found) == [fwmark(5, family)]
        assert str(next(iter(found))) == virtual_server.key

    def test_names_are_the_configurations(self) -> None:
        virtual_server = virtual(real(1, "a"))
        decision = decide(config(virtual_server), {})
        assert str(next(iter(decision.table))) == virtual_server.key
        (dest,) = decision.table[key()].destinations
        assert str(dest) == virtual_server.real_servers[0].key

    def test_ipv6(self) -> None:
        virtual_server = virtual(address=ip_address("2001:db8::1"), family=6)
        (found,) = decide(config(virtual_server), {}).table.values()
        assert found.service.prefix_length == 128


class TestInference:
    """The ledger is gone, the kernel still serves."""

    slice_ = config(virtual(real(1, "a"), real(2, "b"), real(3), sorry_server=real(9)))

    def test_missing_servers_with_checks_are_taken_as_down(self) -> None:
        found = table(entry(service(key()), destination("10.0.0.1")))
        memory = infer_memory(self.slice_, found, EMPTY)
        assert servers_in(decide(self.slice_, {}, memory)) == {"10.0.0.1:80": 1, "10.0.0.3:80": 1}
        assert servers_in(decide(self.slice_, {"b": True}, memory)) == {
            "10.0.0.1:80": 1, "10.0.0.2:80": 1, "10.0.0.3:80": 1,
        }  # fmt: skip

    def test_active_sorry_server_stays(self) -> None:
        slice_ = config(virtual(real(1, "a"), real(2, "b"), sorry_server=real(9)))
        found = table(entry(service(key()), destination("10.0.0.9")))
        memory = infer_memory(slice_, found, EMPTY)
        assert (
            desired(slice_, {}, memory).table[key()].destinations.keys() == found[key()].destinations.keys()
        )

    def test_inhibited_server_is_down(self) -> None:
        slice_ = config(virtual(real(1, "a", inhibit_on_failure=True), real(2, "b")))
        found = table(
            entry(service(key()), destination("10.0.0.1", weight=0), destination("10.0.0.2", weight=9))
        )
        memory = infer_memory(slice_, found, EMPTY)
        assert servers_in(decide(slice_, {}, memory)) == {"10.0.0.1:80": 0, "10.0.0.2:80": 1}

    def test_a_service_that_is_not_in_the_kernel_starts_fresh(self) -> None:
        assert infer_memory(self.slice_, {}, EMPTY) == EMPTY

    def test_the_ledger_wins(self) -> None:
        known = decide(self.slice_, {"a": False, "b": True}).memory
        found = table(entry(service(key()), destination("10.0.0.9")))
        assert infer_memory(self.slice_, found, known) == known
