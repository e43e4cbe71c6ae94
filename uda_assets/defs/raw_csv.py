"""The catalogue of drops."""

import time
from collections import Counter

import dagster as dg

from uda_assets.contract.dictionary import DROPS, RAW
from uda_assets.defs.common import GROUP, OWNERS, check_result, file_at, table_metadata, table_schema, tags
from uda_assets.defs.markdown import ledger_table
from uda_assets.defs.resources import LakeResource, readable_failures
from uda_assets.pipeline.checks import all_files_are_drops, drops_present, headers_readable, suppliers_deliver
from uda_assets.pipeline.rules import rules_of
from uda_assets.pipeline.status import drop_ledger, pending, take_inventory

# These checks are part of the asset's own step. After the conversion nothing is pending any more.
_CHECKS = [
    dg.AssetCheckSpec(
        "drops_present",
        asset="raw_csv",
        description="There is at least one drop. If not: put CSV files below `datasets/` at the data root, or set "
        "`UDA_DATA_ROOT` to the directory above the one that holds them.",
    ),
    dg.AssetCheckSpec(
        "headers_readable",
        asset="raw_csv",
        description="The header of each pending drop names every required column once. If not, that drop will be "
        "rejected and the others go on: correct the header and deliver the file again under the same name.",
    ),
    dg.AssetCheckSpec(
        "all_files_are_drops",
        asset="raw_csv",
        description="Every file below `datasets/` has the name of a drop. If not, nobody will ever read it: rename it, "
        "move it away, or exclude it by `UDA_EXCLUDE`.",
    ),
    dg.AssetCheckSpec(
        "suppliers_deliver",
        asset="raw_csv",
        description="Each pattern of `suppliers.toml` matches a drop, and no drop is matched by two entries. If not: "
        "correct the patterns. Of two entries the first one counts.",
    ),
]


@dg.asset(
    group_name=GROUP, owners=OWNERS, kinds={"csv"}, tags=tags("raw"), metadata=table_metadata(RAW), check_specs=_CHECKS
)
def raw_csv(lake: LakeResource) -> dg.MaterializeResult:  # type: ignore[type-arg]
    """The drops below `datasets/`: which files there are, their checksums, and where each one stands.

    **What it is.** A drop is a `.csv`, `.tsv` or `.txt` file from a supplier, plain or as `.gz`, `.zst`, `.bz2`, `.xz`
    or `.zip`. Names that start with `.` or end in `.part` or `.tmp` are not drops yet. `suppliers.toml` states how a
    supplier's files are written, if they differ. This step reads no record. It finds the drops that are new or
    changed, so that only those are converted. Every drop must have the columns below, in any order.

    **What to do.** `ledger` lists the drops before the conversion. Those that need attention come first, each with
    advice. To deliver a drop, write the file under a name that ends in `.part`, then rename it. To correct a drop,
    deliver the whole file again under the same name.
    """
    started, settings = time.perf_counter(), lake.settings()
    book = lake.book(settings)
    with readable_failures():
        root = lake.open()
        root.require_place()
        # The conversion looks at the converted files.
        inventory = take_inventory(root, check_files=False)
        entries = drop_ledger(inventory, rules_of(settings, book))
        readable = headers_readable(root, pending(entries), settings, book.suppliers)
        sizes = sum(signature.size for signature in inventory.listing.drops.values())
    if inventory.is_news:
        with lake.writing(settings) as root:
            root.commit(root.state().noting(raw=inventory.state.raw))
    counts = Counter(entry.status.value for entry in entries)
    return dg.MaterializeResult(
        metadata={
            **table_metadata(RAW),
            "ledger": dg.MetadataValue.md(ledger_table(entries)),
            "drops": len(entries) - counts["ignored"],
            "pending": counts["pending"],
            "rejected": counts["rejected"],
            "ignored": counts["ignored"],
            "bytes": sizes,
            "seconds": round(time.perf_counter() - started, 3),
            "path": file_at(root.datasets),
            "ledger_columns": table_schema(DROPS),
        },
        check_results=[
            check_result(drops_present(entries, inventory.listing.problem), "drops_present", warning=True),
            check_result(readable, "headers_readable", warning=True),
            check_result(all_files_are_drops(entries), "all_files_are_drops", warning=True),
            check_result(suppliers_deliver(entries, book.suppliers), "suppliers_deliver", warning=True),
        ],
    )
