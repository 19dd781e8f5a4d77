"""What is told to whom: words, order and formats of keepalived (seen of 2.2.7 and 2.4.3 in a namespace)."""

from __future__ import annotations

from dataclasses import replace

import pytest

from keepalived_conf.model import (
    Fifo,
    GlobalDefs,
    NotifyTarget,
    Script,
    ScriptSlice,
    ServerTarget,
    ServiceTarget,
    SmtpServer,
)
from script_proc.notify import (
    FORMER_S,
    Happening,
    Line,
    LowerPriorityHeard,
    Mail,
    PriorityChanged,
    QuorumChanged,
    Rules,
    Run,
    ServerChanged,
    StateName,
    Transition,
    fifo_plans,
    scripts_of,
)


def script(name: str) -> Script:
    return Script(command=(f"/s/{name}", "own"))


V1 = NotifyTarget(
    kind="INSTANCE", name="V1",
    master=script("master"), backup=script("backup"), fault=script("fault"), stop=script("stop"),
    generic=script("notify"), master_rx_lower_pri=script("lower"), priority_changes=True, smtp_alert=True,
)  # fmt: skip
G1 = NotifyTarget(
    kind="GROUP", name="G1", master=script("gmaster"), generic=script("gnotify"), smtp_alert=True
)
WEB = ServiceTarget(
    key="[10.0.0.1]:tcp:80", fifo_name="[10.0.0.1]:tcp:80", up=script("q_up"), down=script("q_down"),
    smtp_alert=True,
    servers=(
        ServerTarget(
            key="[10.0.1.1]:80", fifo_name="[10.0.1.1]:tcp:80", up=script("up"), down=script("down"),
            smtp_alert=True,
        ),
    ),
)  # fmt: skip
SETTINGS = GlobalDefs(
    router_id="r1",
    notify_fifo=Fifo(path="/f/all"),
    vrrp_notify_fifo=Fifo(path="/f/vrrp"),
    lvs_notify_fifo=Fifo(path="/f/lvs"),
    smtp_server=SmtpServer(host="127.0.0.1"),
    notification_email=("a@b",),
)
SLICE = ScriptSlice(globals=SETTINGS, targets=(V1, G1), services=(WEB,))


def told(what: Happening, wanted: ScriptSlice = SLICE) -> list[str]:
    """Effects in short, in order."""
    rules = Rules("host")
    rules.apply(wanted, 0.0)
    found = []
    for effect in rules.effects(what, 1.0):
        if isinstance(effect, Run):
            words = " ".join((*effect.script.command, *effect.arguments))
            found.append(f"run [{effect.key}] {words}")
        elif isinstance(effect, Line):
            found.append(f"{effect.fifo} {effect.data!r}")
        else:
            assert isinstance(effect, Mail)
            found.append(f"mail {effect.subject}")
    return found


def move(before: StateName, after: StateName, *, removed: bool = False, name: str = "V1") -> Transition:
    kind = "INSTANCE" if name.startswith("V") else "GROUP"
    return Transition(kind=kind, name=name, before=before, after=after, priority=150, removed=removed)  # type: ignore[arg-type]


def changed(**fields: object) -> ScriptSlice:
    return replace(SLICE, targets=(replace(V1, **fields), G1))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("after", "word", "special", "end"),
    [
        ("MASTER", "MASTER", "master", "Entering MASTER state"),
        ("BACKUP", "BACKUP", "backup", "Entering BACKUP state"),
        ("FAULT", "FAULT", "fault", "Entering FAULT state"),
        ("INIT", "STOP", "stop", "Stopping"),
    ],
)
def test_an_instance_tells_the_script_of_the_state_then_notify_then_fifos_then_mail(
    after: StateName, word: str, special: str, end: str
) -> None:
    line = f'INSTANCE "V1" {word} 150\n'.encode()
    assert told(move("BACKUP", after)) == [
        f"run [INSTANCE V1] /s/{special} own",
        f"run [INSTANCE V1] /s/notify own INSTANCE V1 {word} 150",
        f"/f/all {line!r}",
        f"/f/vrrp {line!r}",
        f"mail [r1] VRRP Instance V1 - {end}",
    ]


def test_a_group_has_priority_0() -> None:
    line = b'GROUP "G1" MASTER 0\n'
    assert told(move("BACKUP", "MASTER", name="G1")) == [
        "run [GROUP G1] /s/gmaster own",
        "run [GROUP G1] /s/gnotify own GROUP G1 MASTER 0",
        f"/f/all {line!r}",
        f"/f/vrrp {line!r}",
        "mail [r1] VRRP Group G1 - Entering MASTER state",
    ]


def test_an_instance_taken_out_is_a_fault_that_notify_fault_is_not_told_of() -> None:
    line = b'INSTANCE "V1" FAULT 150\n'
    assert told(move("MASTER", "INIT", removed=True)) == [
        "run [INSTANCE V1] /s/notify own INSTANCE V1 FAULT 150",
        f"/f/all {line!r}",
        f"/f/vrrp {line!r}",
        "mail [r1] VRRP Instance V1 - Entering FAULT state",
    ]
    assert told(move("FAULT", "INIT", removed=True)) == []


@pytest.mark.parametrize("before", ["MASTER", "FAULT"])
def test_with_notify_deleted_it_is_told_as_deleted(before: StateName) -> None:
    line = b'INSTANCE "V1" DELETED 150\n'
    wanted = changed(notify_deleted=True, deleted=script("deleted"))
    assert told(move(before, "INIT", removed=True), wanted) == [
        "run [INSTANCE V1] /s/deleted own",
        "run [INSTANCE V1] /s/notify own INSTANCE V1 DELETED 150",
        f"/f/all {line!r}",
        f"/f/vrrp {line!r}",
        "mail [r1] VRRP Instance V1 - Deleted",
    ]


def test_a_lower_priority_heard_is_told_to_its_script_and_fifos_only() -> None:
    line = b'INSTANCE "V1" MASTER_RX_LOWER_PRI 150\n'
    assert told(LowerPriorityHeard(name="V1", priority=150)) == [
        "run [INSTANCE V1] /s/lower own",
        f"/f/all {line!r}",
        f"/f/vrrp {line!r}",
    ]


def test_priorities_are_told_to_fifos_where_that_is_asked_for() -> None:
    for state in ("MASTER", "BACKUP"):
        line = f'INSTANCE "V1" {state}_PRIORITY 90\n'.encode()
        what = PriorityChanged(name="V1", state=state, priority=90)
        assert told(what) == [f"/f/all {line!r}", f"/f/vrrp {line!r}"]
        assert told(what, changed(priority_changes=False)) == []
    assert told(PriorityChanged(name="V1", state="FAULT", priority=90)) == []


def test_services_and_servers_have_lines_of_their_own_kind() -> None:
    line = b"VS [10.0.0.1]:tcp:80 DOWN\n"
    assert told(QuorumChanged(service=WEB.key, up=False, weight_up=0, quorum=1)) == [
        "run [VS [10.0.0.1]:tcp:80] /s/q_down own",
        f"/f/all {line!r}",
        f"/f/lvs {line!r}",
        "mail [r1] Virtualserver [10.0.0.1]:tcp:80 - DOWN",
    ]
    line = b"RS [10.0.1.1]:tcp:80 [10.0.0.1]:tcp:80 UP\n"
    assert told(ServerChanged(service=WEB.key, server="[10.0.1.1]:80", up=True)) == [
        "run [RS [10.0.0.1]:tcp:80 [10.0.1.1]:80] /s/up own",
        f"/f/all {line!r}",
        f"/f/lvs {line!r}",
        "mail [r1] Realserver [10.0.1.1]:tcp:80 of virtual server [10.0.0.1]:tcp:80 - UP",
    ]


def test_that_a_server_is_down_as_it_was_from_the_start_is_not_mailed() -> None:
    effects = told(ServerChanged(service=WEB.key, server="[10.0.1.1]:80", up=False, confirmed=True))
    assert any(one.startswith("/f/lvs") for one in effects)
    assert not any(one.startswith("mail") for one in effects)


def test_mail_needs_a_server_a_recipient_and_the_wish() -> None:
    def mails(what: Happening, wanted: ScriptSlice) -> list[str]:
        return [one for one in told(what, wanted) if one.startswith("mail")]

    up = move("BACKUP", "MASTER")
    assert mails(up, SLICE)
    assert not mails(up, changed(smtp_alert=False))
    for fields in ({"smtp_server": None}, {"notification_email": ()}):
        assert not mails(up, replace(SLICE, globals=replace(SETTINGS, **fields)))
    quiet = replace(SLICE, globals=replace(SETTINGS, no_email_faults=True, router_id=""))
    assert mails(up, quiet) == ["mail [host] VRRP Instance V1 - Entering MASTER state"]
    assert not mails(move("BACKUP", "FAULT"), quiet)


def test_what_a_reload_removed_is_known_for_a_while() -> None:
    rules = Rules("host")
    rules.apply(SLICE, 0.0)
    rules.apply(replace(SLICE, targets=(G1,), services=()), 100.0)
    gone = move("BACKUP", "INIT", removed=True)
    assert rules.effects(gone, 100.0 + FORMER_S - 1)
    assert rules.effects(ServerChanged(service=WEB.key, server="[10.0.1.1]:80", up=False), 101.0)
    assert not rules.effects(gone, 100.0 + FORMER_S)
    assert not rules.effects(move("BACKUP", "MASTER", name="V9"), 0.0)


@pytest.mark.parametrize(
    ("keywords", "expected"),
    [
        ({"notify_fifo": "/a"}, ["/a vrrp lvs -"]),
        ({"notify_fifo": "/a", "vrrp_notify_fifo": "/a"}, ["/a vrrp lvs -"]),
        (
            {"notify_fifo": "/a", "vrrp_notify_fifo": "/b", "lvs_notify_fifo": "/a"},
            ["/a vrrp lvs -", "/b vrrp -"],
        ),
        ({"vrrp_notify_fifo": "/b", "lvs_notify_fifo": "/b"}, ["/b vrrp lvs -"]),
        (
            {"vrrp_notify_fifo": "/b", "lvs_notify_fifo": "/b", "vrrp_script": "v", "lvs_script": "l"},
            ["/b vrrp lvs v"],
        ),
        ({"vrrp_notify_fifo": "/b", "lvs_notify_fifo": "/b", "lvs_script": "l"}, ["/b vrrp lvs l"]),
        ({"notify_fifo": "/a", "vrrp_notify_fifo": "/a", "vrrp_script": "v"}, ["/a vrrp lvs -"]),
    ],
)
def test_fifos_of_one_path_are_one(keywords: dict[str, str], expected: list[str]) -> None:
    names = {"vrrp_script": "vrrp_notify_fifo_script", "lvs_script": "lvs_notify_fifo_script"}
    fields = {
        names.get(key, key): Script(command=(value,)) if key in names else Fifo(path=value)
        for key, value in keywords.items()
    }
    found = [
        " ".join(
            [
                plan.path,
                *(["vrrp"] if plan.vrrp else []),
                *(["lvs"] if plan.lvs else []),
                plan.script.command[0] if plan.script else "-",
            ]
        )
        for plan in fifo_plans(GlobalDefs(**fields))  # type: ignore[arg-type]
    ]
    assert found == expected


def test_all_scripts_are_named_for_judgement() -> None:
    wanted = replace(SLICE, globals=replace(SETTINGS, notify_fifo_script=script("reader")))
    names = dict(scripts_of(wanted))
    assert len(names) == 6 + 2 + 4 + 1
    assert names["notify_master of INSTANCE V1"] == V1.master
    assert names["quorum_down of [10.0.0.1]:tcp:80"] == WEB.down
    assert names["script of the FIFO /f/all"].command == ("/s/reader", "own")
