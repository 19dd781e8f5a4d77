"""The JSON of a configuration and its schema: what show says, typed, and nothing else is valid."""

from __future__ import annotations

import copy
import json
from typing import Any

import jsonschema
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from keepalived_conf.grammar.root import ROOT
from keepalived_conf.grammar.schema import Type, rows_of
from keepalived_conf.loading import load as load_file
from keepalived_conf.tools import json_schema, to_json
from keepalived_conf.tools.settings import has_head
from tests.unit.conf.generate import configurations
from tests.unit.conf.support import instance_text, load, service_text
from tests.unit.conf.test_corpus import FOLDER, ROWS, needs_corpus

SCHEMA = json_schema.schema()
VALIDATOR = jsonschema.Draft202012Validator(SCHEMA, format_checker=jsonschema.FormatChecker())

TEXT = instance_text("authentication {\nauth_type PASS\nauth_pass top53\n}\nnopreempt") + service_text(
    rs="HTTP_GET {\nurl {\npath /\n}\n}"
)


def document(*, secrets: bool = True) -> dict[str, Any]:
    result = load(TEXT)
    assert not result.fatal, result.text()
    found = to_json.document(result.config, secrets=secrets)
    return json.loads(json.dumps(found))  # type: ignore[no-any-return]


def problems(found: Any) -> list[str]:
    return [f"{error.json_path}: {error.message}" for error in VALIDATOR.iter_errors(found)]


def test_the_schema_is_one_of_its_draft() -> None:
    jsonschema.Draft202012Validator.check_schema(SCHEMA)
    json.dumps(SCHEMA)


def test_values_are_typed_and_defaults_filled_in() -> None:
    found = document()
    assert problems(found) == []
    (instance,) = found["vrrp_instance"]
    assert instance["name"] == "A"
    assert (instance["priority"], instance["state"], instance["advert_int"]) == (100, "BACKUP", 1.0)
    assert (instance["nopreempt"], instance["dont_track_primary"]) == (True, False)
    (service,) = found["virtual_server"]
    assert service["name"] == "10.1.0.1 80"
    (check,) = service["real_server"][0]["HTTP_GET"]
    assert check["url"][0]["path"] == "/"


def test_order_is_stable_and_that_of_the_text() -> None:
    assert list(document()) == list(document())
    assert list(document()).index("vrrp_instance") < list(document()).index("virtual_server")


def test_secrets_are_hidden_and_still_valid() -> None:
    found = document(secrets=False)
    assert "top53" not in json.dumps(found)
    assert "top53" in json.dumps(document())
    assert problems(found) == []


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("vrrp_instance", 0, "priority"), 256),
        (("vrrp_instance", 0, "priority"), 0),
        (("vrrp_instance", 0, "priority"), "100"),
        (("vrrp_instance", 0, "priority"), 1.5),
        (("vrrp_instance", 0, "state"), "FAULT"),
        (("vrrp_instance", 0, "priorty"), 100),
        (("vrrp_instance", 0, "nopreempt"), "on"),
        (("vrrp_instance", 0, "name"), 1),
        (("vrrp_instance", 0, "interface"), "x" * 16),
        (("vrrp_instance",), {}),
        (("vrrp_instances",), []),
        (("virtual_server", 0, "real_server", 0, "weight"), -1),
        (("virtual_server", 0, "real_server", 0, "HTTP_GET", 0, "connect_ip"), "10.0.0.300"),
        (("virtual_server", 0, "real_server", 0, "HTTP_GET", 0, "url", 0, "pat"), "/"),
    ],
)
def test_a_planted_mistake_is_rejected(path: tuple[str | int, ...], value: Any) -> None:
    found = copy.deepcopy(document())
    here: Any = found
    for step in path[:-1]:
        here = here[step]
    here[path[-1]] = value
    assert problems(found)


def test_a_block_without_its_name_is_rejected() -> None:
    found = document()
    del found["vrrp_instance"][0]["name"]
    assert problems(found)


def test_no_keyword_hides_behind_the_name_of_a_block() -> None:
    blocks = [ROOT, *(row.block for _, row in rows_of(ROOT) if row.block is not None)]
    assert [block.path for block in blocks if has_head(block) and to_json.NAME in block.keywords] == []


def test_units_and_help_are_in_the_schema() -> None:
    row = ROOT.keywords["vrrp_instance"].block.keywords["garp_master_delay"]  # type: ignore[union-attr]
    found = SCHEMA["$defs"]["vrrp_instance"]["properties"]["garp_master_delay"]
    assert row.type is Type.INTEGER
    assert (found["maximum"], found["x-unit"], found["description"]) == (row.high, "s", row.help)


@needs_corpus
def test_the_schema_validates_the_corpus() -> None:
    for row in ROWS:
        result = load_file(FOLDER / row["file"], config_id="oracle")
        if not result.fatal:
            found = json.loads(json.dumps(to_json.document(result.config, secrets=False)))
            assert problems(found) == [], row["file"]


@given(configurations(), st.booleans())
@settings(max_examples=40, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])
def test_the_schema_validates_generated_configurations(text: str, secrets: bool) -> None:
    result = load(text)
    if not result.fatal:
        found = json.loads(json.dumps(to_json.document(result.config, secrets=secrets)))
        assert problems(found) == []
