"""show: everything the model holds is in the text, in an order and a spelling that keepalived takes."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from keepalived_conf.grammar.root import ROOT
from keepalived_conf.grammar.schema import Block, Keyword, Type
from keepalived_conf.model import Config
from keepalived_conf.tools import show, write
from keepalived_conf.tools.settings import Setting, unregistered
from tests.unit.conf.samples import Put, fields, full, parts, values, variants
from tests.unit.conf.support import codes, instance_text, load, service_text


def shown(text: str, *, secrets: bool = True) -> str:
    result = load(text)
    assert not result.fatal, result.text()
    return show.text(result.config, secrets=secrets)


def lines(text: str) -> list[str]:
    return [line.strip() for line in text.splitlines()]


def test_every_row_with_an_effect_says_where_its_value_is() -> None:
    assert list(unregistered(ROOT)) == []


def test_defaults_are_filled_in() -> None:
    found = lines(shown(instance_text()))
    for line in ("state BACKUP", "version 2", "advert_int 1", "garp_master_delay 5", "down_timer_adverts 3"):
        assert line in found
    assert not any(line.startswith(("nopreempt", "preempt ", "native_ipv6")) for line in found)
    assert "preempt" not in found


def test_inherited_values_stand_where_they_count() -> None:
    found = lines(shown(instance_text(globals_="vrrp_garp_master_delay 7\nvrrp_version 3")))
    assert "garp_master_delay 7" in found
    assert "version 3" in found


def test_adjusted_values_are_shown_as_adjusted() -> None:
    text = instance_text("advert_int 1.5\npreempt_delay 60\nstate MASTER")
    assert {"advert_int_rounded"} <= {code.replace("-", "_") for code in codes(load(text))}
    found = lines(shown(text))
    assert "advert_int 2" in found
    assert "preempt_delay 60" not in found


def test_a_secret_is_shown_on_request_only() -> None:
    text = instance_text("authentication {\nauth_type PASS\nauth_pass top53\n}")
    assert "auth_pass top53" in lines(shown(text))
    hidden = shown(text, secrets=False)
    assert "top53" not in hidden
    assert "auth_pass ********" in lines(hidden)


@pytest.mark.parametrize("word", ["a b", "a#b", "a!b", "{a}", "#", "@a"])
def test_words_are_quoted_where_they_need_it(word: str) -> None:
    text = instance_text(f'authentication {{\nauth_type PASS\nauth_pass "{word}"\n}}')
    again = load(shown(text))
    assert codes(again) == []
    assert again.config.vrrp_instances[0].auth_pass == word.encode()


@pytest.mark.parametrize("name", ["include", "@node", "$A=b", "~SEQ(x,2)", "{", "a b"])
def test_a_line_of_data_is_never_taken_for_something_else(name: str) -> None:
    text = f'vrrp_script "{name}" {{\nscript /bin/true\n}}\n' + instance_text(
        f'track_script {{\n"{name}" weight 5\n}}'
    )
    first = load(text)
    assert first.config.vrrp_instances[0].track_script[0].name == name
    assert load(shown(text)).config == first.config


def test_a_setting_of_ours_stands_on_a_line_that_keepalived_drops() -> None:
    text = shown("global_defs {\n@pykeepalived log_format json\n}\n" + instance_text())
    assert "@pykeepalived log_format json" in text.splitlines()
    assert "log_format" not in text.replace("@pykeepalived log_format", "")


def test_a_block_of_ours_is_ours_line_by_line() -> None:
    own = Block(name="own", keywords={}, path="own")
    inner = Setting(row=Keyword(name="word", type=Type.TEXT), words=("a b",))
    block = Setting(row=Keyword(name="own", type=Type.BLOCK, block=own, extension=True), body=(inner,))
    assert write.text([block]) == '@pykeepalived own {\n@pykeepalived word "a b"\n@pykeepalived }\n'


def test_what_older_keepalived_takes_for_a_flag_is_never_written_off() -> None:
    """vrrp_strict takes no argument in 2.2.7: ``vrrp_strict off`` turns it on there."""
    found = shown(instance_text())
    assert "vrrp_strict" not in found
    assert "lower_prio_no_advert" not in found
    assert "vrrp_strict on" in shown(instance_text(globals_="vrrp_strict on", vips="10.0.0.1"))


def test_off_is_written_where_the_default_is_on() -> None:
    found = lines(shown(instance_text("lower_prio_no_advert off", globals_="vrrp_lower_prio_no_advert on")))
    assert {"vrrp_lower_prio_no_advert on", "lower_prio_no_advert off"} <= set(found)


def test_a_keyword_newer_than_227_is_written_where_it_says_something() -> None:
    assert "owner_ignore_adverts" not in shown(instance_text())
    assert "json_version" not in shown(instance_text())
    assert "json_version 2" in lines(shown(instance_text(globals_="json_version 2")))
    text = instance_text("owner_ignore_adverts on").replace("priority 100", "priority 255")
    assert "owner_ignore_adverts on" in lines(shown(text))


def test_a_block_comes_before_what_uses_it() -> None:
    text = (
        instance_text("track_file {\nF\n}\ntrack_script {\nS\n}")
        + service_text()
        + "vrrp_sync_group G {\ngroup {\nA\n}\n}\n"
        + "vrrp_script S {\nscript /bin/true\n}\ntrack_file F {\nfile /run/f\n}\n"
        + "global_defs {\nrouter_id me\n}\n"
    )
    found = [line for line in shown(text).splitlines() if line.endswith("{") and not line.startswith(" ")]
    assert [line.split()[0] for line in found] == [
        "global_defs",
        "track_file",
        "vrrp_script",
        "vrrp_sync_group",
        "vrrp_instance",
        "virtual_server",
    ]


def test_the_scheduler_comes_before_its_flags() -> None:
    found = lines(
        shown(service_text("flag-1\nflag-2\nsorry_server 10.9.9.9 80").replace("sched rr", "sched sh"))
    )
    assert found.index("lb_algo sh") < found.index("sh-port")
    assert found.index("sorry_server 10.9.9.9 80") < found.index("sorry_server_lvs_method NAT")
    assert {"sh-port", "sh-fallback"} <= set(found)


# --- nothing is lost -----------------------------------------------------------------------------------

DERIVED = {
    "vrrp_instances.family": "follows from the addresses; native_ipv6 where there are none",
    "virtual_servers.family": "follows from the address; ip_family of a fwmark",
    "virtual_servers.hashed": "always true",
    "virtual_servers.group_member": "counts the servers of a group in file order",
    "virtual_servers.real_servers.checks.urls.tls_compliant": "SSL_GET only",
    "virtual_servers.real_servers.checks.check_id": "made from the check",
    "virtual_servers.real_servers.checks.virtual_server": "key of the server around",
    "virtual_servers.real_servers.checks.real_server": "key of the server around",
}
"""Fields without a line of their own."""
SORRY = "virtual_servers.sorry_server."
SORRY_HAS = ("address", "port", "lvs_method", "tunnel", "tunnel.type", "tunnel.port", "tunnel.checksum")
"""Nothing else of a real server can be written for a sorry server."""


def counts(thing: Any, name: str, hint: Any, put: Put) -> bool:
    """Whether a change of the field changes the text, in some variant of its object."""
    for variant in variants(thing):
        seen = set()
        for value in values(hint):
            changed = put(dataclasses.replace(variant, **{name: value}))
            seen.add(show.text(changed, secrets=True))
            if len(seen) > 1:
                return True
    return False


def test_every_field_of_the_model_is_in_the_text() -> None:
    seen, found = set(), set()
    for field, hint in fields(Config):
        whole = dataclasses.replace(Config(), **{field: full(hint)})
        for path, thing, put in parts(whole):
            for name, inner in fields(type(thing)) if path.split(".")[0] == field else ():
                leaf = f"{path}.{name}"
                if leaf in DERIVED or (leaf.startswith(SORRY) and leaf.removeprefix(SORRY) not in SORRY_HAS):
                    continue
                seen.add(leaf)
                if leaf not in found and counts(thing, name, inner, put):
                    found.add(leaf)
    assert len(seen) > 300
    assert sorted(seen - found) == []
