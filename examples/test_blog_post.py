from __future__ import annotations

from examples.blog_post import handlers
from tandem.testing import HandlerTest, Reason, Stop, TaskState, begun


def test_a_crash_at_the_second_stage_does_not_write_the_draft_again() -> None:
    test = HandlerTest(handlers, "blog_post", {"topic": "Tea"})

    died = test.run(Stop.CRASH, at=begun("render"))
    page = test.run().value()["page"]

    assert died.state is TaskState.PENDING
    assert page.startswith("<h1>Tea</h1>")
    assert test.stages["draft"].attempt == 1
    assert test.stages["render"].attempt == 2


def test_a_post_without_a_topic_is_not_tried_again() -> None:
    ended = HandlerTest(handlers, "blog_post").run()

    assert (ended.state, ended.reason) == (TaskState.FAILED, Reason.DO_NOT_RETRY)
