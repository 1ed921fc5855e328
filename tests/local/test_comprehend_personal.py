"""Comprehend: personal data is found where it stands, by its type, and only where there is any."""

from __future__ import annotations

import itertools
from typing import Any

import pytest

from local.services.comprehend import Comprehend
from local.services.models.personal import TYPES, luhn_fits, vehicle_checksum_fits
from local.services.wire import service_model
from tests.local.standin import FakeCaller, client_of

NOTE = """Guest: Mr. Jürgen Köhler (aged 54) called from +1 415-555-0132 on 3 March 2026 about 221B Baker Street, London
NW1 6XE. His e-mail is j.koehler@example.org, his card 4111 1111 1111 1111 exp 04/27 CVV 123. SSN 536-22-1234, IBAN
DE89370400440532013000, bank account number 123456789012, routing number 121000358. PIN 4821, username: jkoehler,
password: S3cret!x. He connects from 10.1.2.3 by https://hotel.example.com/x. Maria Lopez is 31 years old. Passport
number 912345678. National insurance AB123456C. VIN 1HGCM82633A004352. Key AKIAIOSFODNN7EXAMPLE. SIN 046 454 286.
"""
EXPECTED = {
    ("NAME", "Jürgen Köhler"),
    ("AGE", "54"),
    ("PHONE", "+1 415-555-0132"),
    ("DATE_TIME", "3 March 2026"),
    ("ADDRESS", "221B Baker Street, London\nNW1 6XE"),
    ("EMAIL", "j.koehler@example.org"),
    ("CREDIT_DEBIT_NUMBER", "4111 1111 1111 1111"),
    ("CREDIT_DEBIT_EXPIRY", "04/27"),
    ("CREDIT_DEBIT_CVV", "123"),
    ("SSN", "536-22-1234"),
    ("INTERNATIONAL_BANK_ACCOUNT_NUMBER", "DE89370400440532013000"),
    ("BANK_ACCOUNT_NUMBER", "123456789012"),
    ("BANK_ROUTING", "121000358"),
    ("PIN", "4821"),
    ("USERNAME", "jkoehler"),
    ("PASSWORD", "S3cret!x"),
    ("IP_ADDRESS", "10.1.2.3"),
    ("URL", "https://hotel.example.com/x"),
    ("NAME", "Maria Lopez"),
    ("AGE", "31"),
    ("PASSPORT_NUMBER", "912345678"),
    ("UK_NATIONAL_INSURANCE_NUMBER", "AB123456C"),
    ("VEHICLE_IDENTIFICATION_NUMBER", "1HGCM82633A004352"),
    ("AWS_ACCESS_KEY", "AKIAIOSFODNN7EXAMPLE"),
    ("CA_SOCIAL_INSURANCE_NUMBER", "046 454 286"),
}


@pytest.fixture(scope="module")
def comprehend() -> Any:
    """A boto3 client of the stand-in. The suite's guard fails any connection, a fetched list of domains' too."""
    return client_of(Comprehend(), FakeCaller())[0]


def find(comprehend: Any, text: str) -> list[tuple[str, str]]:
    found = comprehend.detect_pii_entities(Text=text, LanguageCode="en")["Entities"]
    places = [(one["BeginOffset"], one["EndOffset"]) for one in found]
    assert places == sorted(places)
    assert all(end <= begin for (_, end), (begin, _) in itertools.pairwise(places))
    assert all(0 < one["Score"] <= 1 for one in found)
    return [(one["Type"], text[one["BeginOffset"] : one["EndOffset"]]) for one in found]


def test_a_note_full_of_personal_data_gives_up_all_of_it(comprehend: Any) -> None:
    # Given a note as a receptionist might write it, non-ASCII names first, so that a byte offset would be off
    # When it is searched
    found = find(comprehend, NOTE)
    # Then everything is there, once, and nothing else
    assert set(found) == EXPECTED
    assert len(found) == len(EXPECTED)


def test_labels_are_the_types_of_what_is_found(comprehend: Any) -> None:
    # Given the same note
    # When only the labels are asked for
    labels = comprehend.contains_pii_entities(Text=NOTE, LanguageCode="en")["Labels"]
    # Then each type comes once
    assert {one["Name"] for one in labels} == {kind for kind, _ in EXPECTED}
    assert len(labels) == len({one["Name"] for one in labels})


@pytest.mark.parametrize(
    "text",
    [
        "The room was clean and breakfast was good.",
        "Our 300 hotels served 12,000 guests, up 4.5 %.",
        "He pinned the note to the board; the security code of conduct applies.",
        "The street was long, and the way to the station took an age.",
    ],
)
def test_a_text_without_personal_data_has_none(comprehend: Any, text: str) -> None:
    # Given a text about nobody, When it is searched, Then nothing is found
    assert find(comprehend, text) == []
    assert comprehend.contains_pii_entities(Text=text, LanguageCode="en")["Labels"] == []


@pytest.mark.parametrize(
    ("kind", "good", "bad"),
    [
        ("CREDIT_DEBIT_NUMBER", "His card is 5555 5555 5555 4444.", "His card is 5555 5555 5555 4445."),
        ("INTERNATIONAL_BANK_ACCOUNT_NUMBER", "IBAN GB29NWBK60161331926819", "IBAN GB28NWBK60161331926819"),
        ("VEHICLE_IDENTIFICATION_NUMBER", "VIN 1M8GDM9AXKP042788", "VIN 1M8GDM9A1KP042788"),
        ("CA_SOCIAL_INSURANCE_NUMBER", "SIN: 130 692 544", "SIN: 130 692 545"),
        ("BANK_ROUTING", "The routing number is 021000021.", "The routing number is 021000022."),
        ("SSN", "SSN 536-22-1234", "SSN 000-22-1234"),
        ("UK_NATIONAL_HEALTH_SERVICE_NUMBER", "NHS number 943 476 5919", "NHS number 943 476 5918"),
    ],
)
def test_a_number_with_a_wrong_check_is_not_taken(comprehend: Any, kind: str, good: str, bad: str) -> None:
    # Given a number and the same with one digit changed
    # When they are searched, Then only the one that fits is what it claims to be
    assert kind in {one for one, _ in find(comprehend, good)}
    assert kind not in {one for one, _ in find(comprehend, bad)}


@pytest.mark.parametrize(
    ("first", "second", "kind"),
    [
        ("Please ask Maria Lopez.", "Please ask Peter Novak.", "NAME"),
        ("Write to anna@example.com.", "Write to carl.x@example.net.", "EMAIL"),
        ("Call (212) 555-0147 today.", "Call +44 20 7946 0958 today.", "PHONE"),
    ],
)
def test_what_is_found_follows_the_text(comprehend: Any, first: str, second: str, kind: str) -> None:
    # Given two texts that differ in one thing
    # When they are searched, Then each gives its own
    found = [dict(find(comprehend, text)).get(kind) for text in (first, second)]
    assert None not in found
    assert found[0] != found[1]


def test_every_type_is_one_of_the_services() -> None:
    # Given the types that may be answered, When they are compared with the service's, Then each is one of them
    types = set(service_model("comprehend").shape_for("PiiEntityType").metadata["enum"])
    assert set(TYPES.values()) <= types
    assert {kind for kind, _ in EXPECTED} <= types


@pytest.mark.parametrize(("number", "fits"), [("4111-1111 1111 1111", True), ("4111111111111112", False)])
def test_the_luhn_formula(number: str, fits: bool) -> None:
    # Given a number, When its last digit is checked, Then separators do not matter
    assert luhn_fits(number) is fits


@pytest.mark.parametrize(
    ("number", "fits"), [("1M8GDM9AXKP042788", True), ("11111111111111111", True), ("1M8GDM9A1KP042788", False)]
)
def test_the_check_digit_of_a_vehicle(number: str, fits: bool) -> None:
    # Given a vehicle's number, When its ninth place is checked, Then X stands for ten
    assert vehicle_checksum_fits(number) is fits
