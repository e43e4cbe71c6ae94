"""Jobs: what is run together, and how."""

import dagster as dg

leaderboard_job = dg.define_asset_job(
    "leaderboard_job",
    selection=dg.AssetSelection.assets("top_n_by_platform").upstream(),
    description="From the drops that are there to the leaderboard.",
    # A process a step costs more than the steps of most runs.
    executor_def=dg.in_process_executor,
)
