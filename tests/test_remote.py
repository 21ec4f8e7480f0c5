from pathlib import Path

import pytest

from weakseg.errors import ArtifactError
from weakseg.remote import as_said, cache_folder, is_stand_in


@pytest.mark.parametrize(
    ("written", "said"),
    [
        ("look at s3://bucket/a@2x.jpg", "look at s3://bucket/a@2x.jpg"),
        ("sftp://me@host:22/photos", "sftp://me@host:22/photos"),
        ("sftp://me:pa:ss@host:22/photos", "sftp://me:***@host:22/photos"),
        ("https://h/a.zip?X-Amz-Signature=ab%2F1&b=2", "https://h/a.zip?X-Amz-Signature=***&b=2"),
        ("zip://a::https://:key@h/a?b=1&sig=xy: is gone", "zip://a::https://:***@h/a?b=1&sig=*** is gone"),
        ("http://127.0.0.1:8770/#token=abc", "http://127.0.0.1:8770/#token=abc"),
    ],
)
def test_messages_hold_no_secrets_of_urls(written: str, said: str) -> None:
    assert as_said(written) == said


def test_a_user_without_a_home_reads_files_of_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    def lack_home() -> Path:
        raise RuntimeError("Could not determine home directory.")

    for variable in ("WEAKSEG_CACHE", "XDG_CACHE_HOME"):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setattr(Path, "home", lack_home)
    assert not is_stand_in(Path("/photos/a.jpg"))
    with pytest.raises(ArtifactError, match=r"^this user has no home folder .*; set WEAKSEG_CACHE to a folder"):
        cache_folder()
