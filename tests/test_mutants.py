"""The bugs of `make mutants` still fit the code that they are put into."""

import pytest

from proofs import mutants


@pytest.mark.parametrize("bug", mutants.all_bugs(), ids=lambda bug: bug.name)
def test_each_bug_has_its_place_and_its_proofs(bug):
    for change in bug.changes:
        source = (mutants.ROOT / change.file).read_text()
        assert source.count(change.text) == 1, change.text
        assert change.instead != change.text
        if change.file.endswith(".py"):
            # One that cannot be read would be caught by whatever comes first.
            compile(source.replace(change.text, change.instead), change.file, "exec")
    for proof in bug.proofs:
        file, _, test = proof.partition("::")
        assert f"def {test}" in (mutants.ROOT / file).read_text()
