from weakseg.pipeline.records import StageRecord
from weakseg.report.content import list_times
from weakseg.report.view import StageTime


def test_finished_stages_are_listed_in_their_order_with_what_is_known_of_them() -> None:
    records = {
        "report": StageRecord(True, "", {}, time_s=2.0),
        "evaluate": StageRecord(False, "", {}, time_s=9.0),
        "localize": StageRecord(True, "", {}, time_s=20.0, parts_time_s=180.0, images=1234),
        "classify": StageRecord(True, "", {}, time_s=65.2),
    }
    assert list_times(records) == (
        StageTime("classify", "1 min 5 s", "", "", ""),
        StageTime("localize", "20 s", "3 min 0 s", "1,234", "6.17"),
    )
