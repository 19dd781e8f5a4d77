"""Rules between the settings of a virtual server, applied when its block has been read."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

from keepalived_conf.diagnostics import Diagnostics, KeepalivedClass
from keepalived_conf.model import Place, Protocol

if TYPE_CHECKING:
    from keepalived_conf.builders.service import ServiceBuilder

DEFAULT_PERSISTENCE_S = 360


def complain(
    diagnostics: Diagnostics,
    place: Place,
    code: str,
    message: str,
    *,
    hint: str,
    width: int,
    keepalived: KeepalivedClass,
) -> None:
    """An error where keepalived reports one, a warning where it is silent."""
    if keepalived is KeepalivedClass.OK:
        diagnostics.warning(place, code, message, hint=hint, width=width)
    else:
        diagnostics.error(place, code, message, hint=hint, width=width, keepalived=keepalived)


@dataclass(frozen=True, kw_only=True, slots=True)
class ServiceSettings:
    protocol: Protocol | None
    scheduler: str
    ops: bool
    ha_suspend: bool
    persistence_engine: str | None
    persistence_timeout_s: int | None


class ServiceRules:
    """keepalived 2.4.3's validation of one virtual server: what does not go together is set right."""

    def __init__(self, builder: ServiceBuilder) -> None:
        self.builder = builder
        self.read = builder.read
        group = builder.group
        self.marks = builder.service.fwmark is not None or (group is not None and bool(group.marks))
        """Packets come by a firewall mark, some at least."""
        self.addresses = builder.service.address is not None or (group is not None and bool(group.addresses))
        """Packets come by an address, some at least."""

    def _complain(
        self,
        keyword: str,
        code: str,
        message: str,
        *,
        hint: str = "",
        keepalived: KeepalivedClass = KeepalivedClass.GENERAL_ERROR,
    ) -> None:
        """At the line of a keyword, or of the service where there is none."""
        place = self.read.places.get(keyword) if keyword else None
        complain(
            self.builder.diagnostics,
            place or self.builder.statement.place,
            code,
            f"virtual server {self.builder.label}: {message}",
            hint=hint,
            width=len(keyword) if place else len("virtual_server"),
            keepalived=keepalived,
        )

    def service_settings(self) -> ServiceSettings:
        ha_suspend = self._ha_suspend()
        protocol = self._protocol()
        ops = bool(self.read.get("ops", False))
        if ops and self.addresses and protocol != "UDP":
            self._complain(
                "ops", "ops-without-udp", "ops works with protocol UDP only; it is ignored", hint="remove ops"
            )
            ops = False
        return ServiceSettings(
            protocol=protocol,
            scheduler=self._scheduler(),
            ops=ops,
            ha_suspend=ha_suspend,
            persistence_engine=self.read.get("persistence_engine"),
            persistence_timeout_s=self._persistence_timeout(),
        )

    def _ha_suspend(self) -> bool:
        if not self.read.get("ha_suspend"):
            return False
        if self.marks:
            self._complain(
                "ha_suspend",
                "ha-suspend-with-fwmark",
                "ha_suspend follows an address, which a fwmark service has not; it is ignored",
                hint="remove ha_suspend",
            )
        return not self.marks

    def _protocol(self) -> Protocol | None:
        written = cast("Protocol | None", self.read.get("protocol"))
        if self.addresses:
            if written is None:
                self._complain(
                    "", "no-protocol", "no protocol is set; UDP is taken", hint="write protocol TCP"
                )
            return written or "UDP"
        if written is not None:
            self._complain(
                "protocol",
                "protocol-ignored",
                "a fwmark service has no protocol; it is ignored",
                hint="remove protocol",
            )
        return None

    def _scheduler(self) -> str:
        if not self.builder.scheduler:
            self._complain(
                "", "no-scheduler", "no lvs_sched is set; wlc is taken", hint="write lvs_sched wlc"
            )
        return self.builder.scheduler or "wlc"

    # --- persistence ---------------------------------------------------------------------------------

    def _persistence_timeout(self) -> int | None:
        if self.read.has("persistence_timeout"):
            return self.read.get("persistence_timeout") or DEFAULT_PERSISTENCE_S
        if self.builder.persistent:
            return DEFAULT_PERSISTENCE_S
        service, group = self.builder.service, self.builder.group
        if group is not None:
            needed = any(entry.port == 0 for entry in group.addresses)
        else:
            needed = service.address is not None and service.port == 0
        if needed:
            self._complain(
                "",
                "port-zero",
                f"port 0 works with persistence only; {DEFAULT_PERSISTENCE_S} s is taken",
                hint="write persistence_timeout, or a port",
            )
        return DEFAULT_PERSISTENCE_S if needed else None

    # --- quorum ----------------------------------------------------------------------------------------

    def quorum(self, total: int) -> tuple[int, int]:
        """(quorum, hysteresis) within what the weights of the real servers allow."""
        quorum = int(self.read.get("quorum", 1))
        hysteresis = int(self.read.get("hysteresis", 0))
        if quorum > total:
            # With a sum of zero (all weights 0) keepalived's quorum is 0 and always met; ours stays out of
            # reach, which is what a service without weight is.
            lowered = max(1, total)
            what = f"{lowered} is taken" if lowered < quorum else "it cannot be reached"
            self._complain(
                "quorum",
                "quorum-lowered",
                f"quorum {quorum} is more than the weight of all real servers ({total}); {what}",
                hint="lower the quorum or raise the weights",
            )
            quorum = lowered
        if hysteresis >= quorum:
            if hysteresis:
                self._complain(
                    "hysteresis",
                    "hysteresis-lowered",
                    f"hysteresis {hysteresis} is not below the quorum; {quorum - 1} is taken",
                    hint="write a hysteresis below the quorum",
                )
            hysteresis = quorum - 1
        return quorum, hysteresis
