"""The command that compares the tables with the newest `phonenumbers`."""

from pathlib import Path

from smsretry.data.review import differences
from tests.unit.test_rule_tables import Checkout, without


def test_the_tables_as_they_ship_differ_from_the_pinned_library_only_where_a_row_says_why() -> None:
    """With a newer library, a line here is an area code to add or a zone to think about."""
    assert list(differences()) == []


def test_the_command_names_what_a_table_lacks_and_where_to_write_it(tmp_path: Path) -> None:
    """A table that has never heard of Manhattan, toll-free numbers, Easter Island or Orlando."""
    checkout = Checkout(tmp_path)
    for table, key in (("npa_zones", "212"), ("npa_refused", "800"), ("number_zones", "+56"), ("npa_overrides", "689")):
        checkout.write(table, without(table, key))
    said = checkout.run("-m", "smsretry.data.review")
    assert said.returncode == 1, said.stderr
    assert said.stdout.splitlines()[:-1] == [
        "area code 212 is new (US, America/New_York): add it to npa_overrides.tsv",
        "area code 689 reaches into America/Chicago, too: add it to npa_overrides.tsv",
        "area code 800 is nobody's phone any more: add it to npa_refused.tsv",
        "mobile numbers of CL (+56) may be in America/Punta_Arenas+Pacific/Easter, too: "
        "add all its zones to number_zones.tsv",
    ]
    assert said.stdout.splitlines()[-1].startswith("4 differences: phonenumbers ")
