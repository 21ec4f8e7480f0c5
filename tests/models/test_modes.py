import pytest
from torch import nn

from weakseg.models.modes import evaluating


def test_every_part_gets_its_own_mode_back() -> None:
    network = nn.Sequential(nn.BatchNorm2d(1), nn.Sequential(nn.Dropout(), nn.BatchNorm2d(1))).train()
    network[1][1].eval()
    with evaluating(network):
        assert not any(part.training for part in network.modules())
    assert [part.training for part in network.modules()] == [True, True, True, True, False]


def test_modes_come_back_after_an_error() -> None:
    network = nn.Dropout().train()
    with pytest.raises(ZeroDivisionError), evaluating(network):
        raise ZeroDivisionError
    assert network.training


def test_network_in_evaluation_mode_stays_there() -> None:
    network = nn.Dropout().eval()
    with evaluating(network):
        pass
    assert not network.training
