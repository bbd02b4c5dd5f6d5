"""Codes of the second factor."""

from __future__ import annotations

import base64
import re

import pyotp

from pilotage_web.people import codes

# RFC 6238, appendix B, SHA-1: the secret is "12345678901234567890"; the last six of the eight digits.
SECRET = base64.b32encode(b"12345678901234567890").decode()


class TestCode:
    def test_as_the_standard_has_it(self) -> None:
        """The standard's own examples are right at their times."""
        for time, code in ((59, "287082"), (1111111109, "081804"), (2000000000, "279037")):
            assert codes.step_of(SECRET, code, float(time), 0) == time // 30

    def test_blanks_do_not_count(self) -> None:
        """Telephones show six digits in two groups."""
        assert codes.step_of(SECRET, " 287 082 ", 59.0, 0) == 1

    def test_one_step_off_is_heard(self) -> None:
        """A telephone may be half a minute off, not more."""
        now = 1_795_000_000.0
        for steps, is_right in ((-2, False), (-1, True), (0, True), (1, True), (2, False)):
            code = pyotp.TOTP(SECRET).at(int(now) + 30 * steps)
            assert (codes.step_of(SECRET, code, now, 0) is not None) is is_right

    def test_once(self) -> None:
        """A code that was used, and those before it, are no codes any more."""
        now = 1_795_000_000.0
        code = pyotp.TOTP(SECRET).at(int(now))
        step = codes.step_of(SECRET, code, now, 0)

        assert step is not None
        assert codes.step_of(SECRET, code, now, step) is None
        assert codes.step_of(SECRET, pyotp.TOTP(SECRET).at(int(now) - 30), now, step) is None

    def test_what_is_no_code(self) -> None:
        """Anything but six digits is wrong, other alphabets' digits too."""
        for text in ("", "28708", "2870820", "abcdef", "٢٨٧٠٨٢", "28708²", "0" * 10_000):
            assert codes.step_of(SECRET, text, 59.0, 0) is None


class TestRecovery:
    def test_ten_that_differ(self) -> None:
        """Each is twelve signs that cannot be mistaken for others on paper."""
        fresh = codes.new_recovery_codes()

        assert len(set(fresh)) == 10
        assert all(re.fullmatch(r"([a-hjkmnp-z2-9]{4}-){2}[a-hjkmnp-z2-9]{4}", c) for c in fresh)

    def test_typed_by_people(self) -> None:
        """Hyphens, blanks and capitals do not count."""
        assert codes.plain_recovery(" ABCD-efgh 2345 ") == "abcdefgh2345"


class TestPicture:
    def test_is_inert(self) -> None:
        """The picture has no script and no style, so that the strict policy shows it."""
        picture = codes.picture_of(codes.address_of(SECRET, "nadia", "Dijon métropole"))

        assert picture.startswith("<svg")
        assert "<script" not in picture
        assert "style=" not in picture
