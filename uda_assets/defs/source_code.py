"""Where in the source each asset is made, for the UI: at GitHub or GitLab where that is known, else on this disk."""

import warnings
from collections.abc import Sequence
from pathlib import Path

import dagster as dg

from uda_assets.basics.settings import Settings

_PACKAGE = Path(__file__).parents[1]


def with_source_code(assets: Sequence[dg.AssetsDefinition], settings: Settings) -> Sequence[dg.AssetsDefinition]:
    """The same assets, each with a reference to its code."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", dg.BetaWarning)
        found = dg.with_source_code_references(assets)
        if settings.git_url:
            found = dg.link_code_references_to_git(
                found,
                git_url=settings.git_url.rstrip("/").removesuffix(".git"),
                git_branch=settings.git_branch,
                file_path_mapping=dg.AnchorBasedFilePathMapping(_PACKAGE, _PACKAGE.name),
            )
    return [asset for asset in found if isinstance(asset, dg.AssetsDefinition)]
