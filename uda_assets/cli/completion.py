"""Shell completion of drop and platform names from the data root.

A shell inserts a completed name into the command line without quoting it, so only names without special characters are
offered. If anything is wrong with the data root, nothing is offered and no message is printed.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from uda_assets.lake import Lake

_SAFE_NAME = re.compile(r"\w[\w./@%+,-]*")
_MOST_NAMES = 200


def drops(context: click.Context, parameter: click.Parameter, incomplete: str) -> list[str]:
    """Complete the name of a committed drop."""
    del parameter
    return _complete(context, incomplete, lambda lake: lake.state().drops)


def platforms(context: click.Context, parameter: click.Parameter, incomplete: str) -> list[str]:
    """Complete the name of a platform that has sessions."""
    del parameter

    def names(lake: Lake) -> Iterable[str]:
        sessions = lake.state().sessions
        return sessions.platforms if sessions else ()

    return _complete(context, incomplete, names)


def _complete(context: click.Context, incomplete: str, names_in: Callable[[Lake], Iterable[str]]) -> list[str]:
    from uda_assets.basics.settings import load_settings
    from uda_assets.cli.files import open_data_root

    parent_options = context.parent.params if context.parent else {}
    try:
        settings = load_settings(data_root=context.params.get("data_root") or parent_options.get("data_root"))
        names = sorted(name for name in names_in(open_data_root(settings)) if name.startswith(incomplete))
    except Exception:
        return []
    return [name for name in names if _SAFE_NAME.fullmatch(name)][:_MOST_NAMES]
