"""The effective configuration as a keepalived.conf: what will happen, said in full.

Inheritance is done, adjusted values are adjusted, defaults are filled in. What ``text`` gives with its
secrets loads to an equal ``Config``, without a complaint:

    load_text(text(config, secrets=True).encode()).config == config

Not written are a flag that is off, and a keyword newer than keepalived 2.2.7 at its default, so that
older keepalived reads the text too.
"""

from __future__ import annotations

from keepalived_conf.model import Config
from keepalived_conf.tools import write
from keepalived_conf.tools.settings import settings


def text(config: Config, *, secrets: bool) -> str:
    """Text of a configuration file. ``secrets``: write passwords as they are instead of asterisks.

    Bytes of a password that are not UTF-8 are lone surrogates: encode with ``surrogateescape``.
    """
    return write.text(settings(config, secrets=secrets))
