"""``suppliers.toml``: wrong entries are named, and a changed one converts exactly the drops that it can affect."""

from __future__ import annotations

from pathlib import Path

import pytest

from uda_assets.basics.errors import UdaError
from uda_assets.basics.settings import load_settings
from uda_assets.cli import run as uda
from uda_assets.contract.suppliers import read_suppliers, rulebook
from uda_assets.lake import open_lake
from uda_assets.pipeline.checks import suppliers_deliver
from uda_assets.pipeline.rules import rules_of
from uda_assets.pipeline.status import drop_ledger, take_inventory
from uda_assets_tests.suppliers.test_cases import ROWS, text
from uda_assets_tests.support.chain import deliver, ledger, run, settings_of


def write(root: Path, *entries: str) -> None:
    (root / "suppliers.toml").write_text("".join(f"[[supplier]]\n{entry}\n" for entry in entries), encoding="utf-8")


@pytest.mark.parametrize(
    ("entry", "complaint"),
    [
        ('delimitr = ";"', "delimitr is no key; there are name, drops, delimiter"),
        ("delimiter = ';;'", "delimiter must be one ASCII character, not ';;'"),
        ("delimiter = ''", "delimiter must be one ASCII character, not ''"),
        ("delimiter = '§'", "delimiter must be one ASCII character"),
        ('delimiter = "\\n"', "delimiter must not be a line end"),
        ("delimiter = '\"'", "delimiter must not be the same character as quote"),
        ('delimiter = ";"\nquote = ";"', "delimiter must not be the same character as quote"),
        ("escape = '\"'", "escape must not be the same character as quote"),
        ('quote = " "', "quote must not be white space"),
        ('encoding = "utf-9"', "encoding cannot be 'utf-9'; name a codec of Python's"),
        ('encoding = "rot13"', "encoding cannot be 'rot13'"),
        ('encoding = "base64"', "encoding cannot be 'base64'"),
        ("skip_lines = -1", "skip_lines must be a number from 0"),
        ("skip_lines = true", "skip_lines must be a number"),
        ('trailing_delimiter = "yes"', "trailing_delimiter must be true or false"),
        ('header = ["user_id"]', "header has no column session_id"),
        ('header = ["user_id", "user_id", "session_id", "platform", "activity_time", "activity_type"]', "header names user_id more than once"),
        ('null = [" NULL"]', "null has ' NULL'; fields are trimmed"),
        ('columns = {user = "u"}', "columns.user is no key; there are columns.user_id"),
        ("columns = {user_id = 1}", "columns.user_id must be a list of texts"),
        ('constants = {platform = ""}', "constants.platform must be a printable text"),
        ('constants = {platform = "Web"}\ncolumns = {platform = "os"}', "constants.platform contradicts columns.platform"),
        ('time = {formats = []}', "time.formats must name at least one"),
        ('time = {formats = ["unix"]}', "time.formats cannot have 'unix': it is neither iso, epoch_s"),
        ('time = {formats = ["%Y-%m-%Q"]}', "%Q is not supported; there are %Y"),
        ('time = {formats = ["%H:%M"]}', "it has no full date"),
        ('time = {timezone = "Europe/Atlantis"}', "time.timezone cannot be 'Europe/Atlantis'; name a zone such as Europe/Berlin"),
        ('time = {zone = "UTC"}', "time.zone is no key; there are time.formats, time.timezone"),
        ('platforms = {iOS = "ios"}', "platforms.iOS must be a list of texts"),
        ('platforms = {" iOS" = ["x"]}', "platforms is not right"),
        ('drops = []', "drops must list patterns"),
        ('drops = ["a[b"]', "drops has 'a[b', whose [ is not closed"),
        ('name = ""', "name must be a printable text"),
    ],
)  # fmt: skip
def test_a_wrong_entry_is_named(tmp_path: Path, entry: str, complaint: str, capsys: pytest.CaptureFixture[str]) -> None:
    given = "".join(line for line in ('name = "acme"\n', 'drops = ["*"]\n') if not entry.startswith(line[:4])) + entry
    write(tmp_path, given)
    with pytest.raises(UdaError) as caught:
        read_suppliers(tmp_path / "suppliers.toml")
    assert str(caught.value).startswith(f"{tmp_path}/suppliers.toml: supplier ")
    assert complaint in str(caught.value)
    deliver(tmp_path, "a.csv", text())
    assert uda(["drops", "--data-root", str(tmp_path)]) == 1
    assert capsys.readouterr().err.count("\n") == 1


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        ("[supplier]\nname = 'a'", "an entry begins with a line [[supplier]]"),
        ("[[suppliers]]\nname = 'a'", "unknown key 'suppliers'"),
        ("[[supplier]", "suppliers.toml: "),
        ("[[supplier]]\nname='a'\ndrops=['*']\n[[supplier]]\nname='a'\ndrops=['b']", "two entries have this name"),
    ],
)
def test_a_wrong_file_is_named(tmp_path: Path, content: str, complaint: str) -> None:
    (tmp_path / "suppliers.toml").write_text(content)
    with pytest.raises(UdaError) as caught:
        read_suppliers(tmp_path / "suppliers.toml")
    assert complaint in str(caught.value)


def converted(root: Path) -> list[str]:
    return sorted(manifest.drop for manifest in run(root).converted)


def test_a_changed_entry_converts_the_drops_that_it_can_affect(tmp_path: Path) -> None:
    deliver(tmp_path, "acme/a.csv", text())
    deliver(tmp_path, "acme/tv.csv", text([["u", "s", "TV set", "2026-01-01T10:00:00Z", "view"], *ROWS]))
    deliver(tmp_path, "other.csv", text())
    assert len(converted(tmp_path)) == 3
    base = 'name = "acme"\ndrops = ["acme/*"]\n'
    steps = [
        (base, []),  # states the default
        (base + 'delimiter = ","\nencoding = "UTF8"\n', []),
        (base.replace('acme"', 'acme inc"'), []),
        (base + 'null = ["NULL"]\n', ["acme/a.csv", "acme/tv.csv"]),
        (base + 'null = ["NULL"]\n[supplier.platforms]\nTV = ["tv *"]\n', ["acme/tv.csv"]),
        (base.replace("acme/*", "acme/a*") + 'null = ["NULL"]\n', ["acme/tv.csv"]),
        (base + 'null = ["NULL"]\n', ["acme/tv.csv"]),
        ('name = "none"\ndrops = ["nothing/*"]\n', ["acme/a.csv", "acme/tv.csv"]),
    ]
    for entry, expected in steps:
        write(tmp_path, entry)
        assert converted(tmp_path) == expected, entry
        assert converted(tmp_path) == []
    (tmp_path / "suppliers.toml").unlink()
    assert converted(tmp_path) == []


def test_an_entry_without_keys_lets_a_byte_order_mark_decide(tmp_path: Path) -> None:
    deliver(tmp_path, "plain.csv", text())
    (tmp_path / "datasets/marked.csv").write_bytes(text().encode("utf-16"))
    assert converted(tmp_path) == ["plain.csv"]
    write(tmp_path, 'name = "acme"\ndrops = ["*"]')
    assert converted(tmp_path) == ["marked.csv"]
    assert converted(tmp_path) == []
    (tmp_path / "suppliers.toml").unlink()
    assert list(run(tmp_path).rejected) == ["marked.csv"]


def test_a_rejected_drop_comes_back_by_an_entry(tmp_path: Path) -> None:
    deliver(tmp_path, "a.csv", text(delimiter=";"))
    assert list(run(tmp_path).rejected) == ["a.csv"]
    assert "semicolons" in (ledger(tmp_path)["a.csv"].reason or "")
    write(tmp_path, 'name = "acme"\ndrops = ["a*"]\ndelimiter = ";"')
    assert ledger(tmp_path)["a.csv"].status == "pending"
    assert converted(tmp_path) == ["a.csv"]


def test_the_first_entry_counts_and_that_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    deliver(tmp_path, "a_acme.csv", text(delimiter=";"))
    write(
        tmp_path, 'name = "acme"\ndrops = ["*_acme.csv"]\ndelimiter = ";"', 'name = "all"\ndrops = ["*", "shop/*"]',
    )  # fmt: skip
    run(tmp_path)
    assert ledger(tmp_path)["a_acme.csv"].supplier == "acme"
    assert uda(["drops", "--data-root", str(tmp_path), "--format", "json"]) == 0
    said = capsys.readouterr()
    assert '"supplier": "acme"' in said.out
    assert "a_acme.csv: entries acme, all match; the first one counts" in said.err
    assert "all: 'shop/*' matches no drop" in said.err
    settings = settings_of(tmp_path)
    lake, book = open_lake(settings), rulebook(tmp_path, settings)
    entries = drop_ledger(take_inventory(lake, check_files=False), rules_of(settings, book))
    assert len(suppliers_deliver(entries, book.suppliers).cases) == 2


def test_run_config_comes_before_the_file(tmp_path: Path) -> None:
    write(tmp_path, 'name = "acme"\ndrops = ["*"]', 'name = "b"\ndrops = ["b"]')
    own = [{"name": "acme", "drops": ["*"], "delimiter": ";"}]
    book = rulebook(tmp_path, load_settings({}), suppliers=own)
    assert [supplier.name for supplier in book.suppliers] == ["acme", "b"]
    assert book.suppliers.dialect_of("x.csv").delimiter == ";"
    with pytest.raises(UdaError, match="run config: supplier 'acme': quote"):
        rulebook(tmp_path, load_settings({}), suppliers=[own[0] | {"quote": "ab"}])


def test_ignored_files_are_listed_with_a_reason(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    deliver(tmp_path, "a.csv", text())
    for name in ("read.me", "x.xlsx", "_SUCCESS", ".a.csv.crc", "b.csv.part", "c.csv.FILEPART", "sub/d.json"):
        deliver(tmp_path, name, "x")
    run(tmp_path)
    found = {name: entry.status for name, entry in ledger(tmp_path).items()}
    assert found == {"a.csv": "committed", "read.me": "ignored", "x.xlsx": "ignored", "sub/d.json": "ignored"}
    assert "UDA_EXCLUDE" in (ledger(tmp_path)["x.xlsx"].reason or "")
    assert set(ledger(tmp_path, exclude="*.xlsx,sub/*")) == {"a.csv", "read.me"}
    assert uda(["drops", "--data-root", str(tmp_path)]) == 0
    assert "ignored" in capsys.readouterr().out
