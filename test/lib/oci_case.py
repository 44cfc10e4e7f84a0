# SPDX-License-Identifier: Apache-2.0
"""Tables of conformance cases, made into pytest tests.

    test_seen = seen_cases((section, name, patch, expect), ...)     run the probe and compare
    test_refused = refused((section, name, patch[, naming]), ...)   create must fail
    test_accepted = accepted((section, name, patch), ...)           must run, whatever it does
"""
import pytest


def parameters(rows):
    return [pytest.param(*row[2:], id=f"{row[0]}: {row[1]}", marks=pytest.mark.spec(row[0]))
            for row in rows]


def seen_cases(*rows):
    @pytest.mark.parametrize("patch, expect", parameters(rows))
    def test(oci, patch, expect):
        oci.expect(patch, expect)
    return test


def refused(*rows):
    rows = [row if len(row) == 4 else (*row, None) for row in rows]

    @pytest.mark.parametrize("patch, naming", parameters(rows))
    def test(oci, patch, naming):
        oci.refuses(patch, naming=naming)
    return test


def accepted(*rows):
    @pytest.mark.parametrize("patch", parameters(rows))
    def test(oci, patch):
        oci.see(patch)
    return test
