"""Where in the source code each asset is made, for the UI: a link if the repository is known, else a path."""

import warnings
from pathlib import Path

import dagster as dg

from uda_assets.basics.settings import Settings

_PACKAGE = Path(__file__).parents[1]


def with_source_code(definitions: dg.Definitions, settings: Settings) -> dg.Definitions:
    """Return the same definitions, in which each asset has a reference to its code."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", dg.BetaWarning)
        assets = dg.with_source_code_references(
            [asset for asset in definitions.assets or () if isinstance(asset, dg.AssetsDefinition)]
        )
        if settings.git_url:
            assets = dg.link_code_references_to_git(
                assets,
                git_url=settings.git_url.rstrip("/").removesuffix(".git"),
                git_branch=settings.git_branch,
                file_path_mapping=dg.AnchorBasedFilePathMapping(_PACKAGE, _PACKAGE.name),
            )
    return dg.Definitions(
        assets=assets,
        asset_checks=definitions.asset_checks,
        jobs=definitions.jobs,
        schedules=definitions.schedules,
        sensors=definitions.sensors,
        resources=definitions.resources,
        executor=definitions.executor,
    )
