"""What a shell offers for a name that is half typed: drops and platforms of the data root.

Shells put what is offered on the command line as it is, so that only names are offered in which nothing has a meaning
to them. Whatever is wrong with the data root, nothing is offered and nothing said.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from uda_assets.lake import Lake

_PLAIN = re.compile(r"\w[\w./@%+,-]*")
_MOST = 200


def drops(context: click.Context, parameter: click.Parameter, incomplete: str) -> list[str]:
    """Names of committed drops."""
    del parameter
    return _offered(context, incomplete, lambda lake: lake.converted.manifests())


def platforms(context: click.Context, parameter: click.Parameter, incomplete: str) -> list[str]:
    """Names of platforms with sessions."""
    del parameter

    def found(lake: Lake) -> Iterable[str]:
        manifest = lake.merged.read()
        return manifest.platforms if manifest else ()

    return _offered(context, incomplete, found)


def _offered(context: click.Context, incomplete: str, names: Callable[[Lake], Iterable[str]]) -> list[str]:
    from uda_assets.basics.settings import load_settings
    from uda_assets.cli.files import open_root

    above = context.parent.params if context.parent else {}
    try:
        settings = load_settings(data_root=context.params.get("data_root") or above.get("data_root"))
        fitting = sorted(name for name in names(open_root(settings)) if name.startswith(incomplete))
    except Exception:
        return []
    return [name for name in fitting if _PLAIN.fullmatch(name)][:_MOST]
