"""A static member that was refused asks whether another one has its name, before it joins again."""

from types import SimpleNamespace

import pytest
from aiokafka.consumer.group_coordinator import GroupCoordinator
from aiokafka.errors import GroupCoordinatorNotAvailableError

from worker.adapters.kafka.membership import InstanceFenced, Member

FENCED, UNKNOWN_MEMBER_ID = 82, 25


@pytest.fixture
def ask(monkeypatch):
    """Refuse a member, answer its questions in turn; how often it joined, and was led elsewhere."""

    async def run(*answers):
        member = Member.__new__(Member)
        member.group_id, member._group_instance_id = "group", "worker-0"
        member._retry_backoff_ms = 0
        member._former = (3, "worker-0-old")
        given, seen = list(answers), SimpleNamespace(joined=0, elsewhere=0)

        async def send(_, request):
            answer = given.pop(0)
            if isinstance(answer, Exception):
                raise answer
            return SimpleNamespace(error_code=answer)

        async def join(*_):
            seen.joined += 1
            return True

        def dead(_):
            seen.elsewhere += 1

        monkeypatch.setattr(GroupCoordinator, "_send_req", send)
        monkeypatch.setattr(GroupCoordinator, "_do_rejoin_group", join)
        monkeypatch.setattr(GroupCoordinator, "coordinator_dead", dead)
        while given and not seen.joined:
            await member._do_rejoin_group(None)
        return seen

    return run


# REQUEST_TIMED_OUT, COORDINATOR_LOAD_IN_PROGRESS, COORDINATOR_NOT_AVAILABLE, NOT_COORDINATOR
@pytest.mark.parametrize("code", [7, 14, 15, 16, GroupCoordinatorNotAvailableError()])
async def test_a_broker_that_cannot_know_is_asked_again(ask, code):
    with pytest.raises(InstanceFenced):
        await ask(code, code, FENCED)
    seen = await ask(code, UNKNOWN_MEMBER_ID)
    assert seen.joined == 1
    assert seen.elsewhere == (code in (7, 15, 16))


@pytest.mark.parametrize("code", [0, 22, UNKNOWN_MEMBER_ID, 27])
async def test_a_member_that_nobody_replaced_joins_again(ask, code):
    assert (await ask(code)).joined == 1


async def test_a_replaced_member_does_not_join_again(ask):
    with pytest.raises(InstanceFenced):
        await ask(FENCED)
