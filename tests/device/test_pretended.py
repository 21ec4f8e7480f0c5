"""What the pretended device refuses and takes, so that tests on it mean something."""

from collections.abc import Callable, Iterator

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from tests.device.pretended import CPU, PRETENDED, PretendedDevice, PretendedTensor, WrongDevice, pretended_device


@pytest.fixture(autouse=True)
def device() -> Iterator[PretendedDevice]:
    with pretended_device() as lent:
        yield lent


def there() -> Tensor:
    return torch.arange(6.0).reshape(2, 3)


def here() -> Tensor:
    return there().to(PRETENDED)


def generator() -> torch.Generator:
    return torch.Generator().manual_seed(0)


REFUSED: dict[str, Callable[[], object]] = {
    "arithmetic": lambda: here() + there(),
    "a scalar and a map": lambda: here().sum() + there(),
    "matrix product": lambda: here() @ there().T,
    "joining": lambda: torch.cat((here(), there())),
    "joining scalars": lambda: torch.stack((here().sum(), torch.tensor(1.0))),
    "a module of the CPU": lambda: nn.Linear(3, 2)(here()),
    "comparison": lambda: torch.equal(here(), there()),
    "condition of the CPU": lambda: torch.where(there() > 1, here(), here()),
    "mask of the CPU": lambda: here().masked_fill(there() > 1, 0),
    "index of the device": lambda: there()[here() > 1],
    "assigned values": lambda: here().index_put_((torch.tensor([0]),), torch.ones(3)),
    "result in a CPU tensor": lambda: torch.add(here(), here(), out=there()),
    "in place on a CPU scalar": lambda: torch.tensor(2.0).add_(here().sum()),
    "two CPU scalars": lambda: torch.addcmul(here(), torch.tensor(1.0), torch.tensor(2.0)),
    "drawing": lambda: torch.rand(2, device=PRETENDED, generator=generator()),
    "drawing in place": lambda: here().normal_(generator=generator()),
    "numpy": lambda: here().numpy(),
    "asarray": lambda: np.asarray(here()),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_cuda_refuses_is_refused(name: str) -> None:
    with pytest.raises(WrongDevice):
        REFUSED[name]()


TAKEN: dict[str, tuple[Callable[[], Tensor], object]] = {
    "a CPU scalar": (lambda: 1 - here()[0] * torch.tensor(2.0), [1, -1, -3]),
    "a CPU scalar in where": (lambda: torch.where(here()[0] > 1, here()[0], torch.tensor(9.0)), [9, 9, 2]),
    "a CPU scalar to fill with": (lambda: here()[0].masked_fill(here()[0] > 1, torch.tensor(9.0)), [0, 1, 9]),
    "an index of the CPU": (lambda: here()[:, torch.tensor([2, 0])], [[2, 0], [5, 3]]),
    "a list as index": (lambda: here()[:, [2, 0]], [[2, 0], [5, 3]]),
    "an array as mask": (lambda: here()[np.array([True, False])], [[0, 1, 2]]),
    "a mask of the device": (lambda: here()[here() > 3], [4, 5]),
    "values of Python": (lambda: torch.tensor([1.0, 2.0], device=PRETENDED) + here().new_tensor([1, 2]), [2, 4]),
    "a copy from the CPU": (lambda: torch.empty(2, 3, device=PRETENDED).copy_(there())[0], [0, 1, 2]),
    "several results": (lambda: here().max(dim=1).indices, [2, 2]),
    "a place for the result": (lambda: torch.mul(here()[0], 2, out=torch.empty(3, device=PRETENDED)), [0, 2, 4]),
}


@pytest.mark.parametrize("name", TAKEN)
def test_what_cuda_takes_is_computed_on_the_device(name: str) -> None:
    compute, expected = TAKEN[name]
    result = compute()
    assert isinstance(result, PretendedTensor)
    assert result.device == PRETENDED
    assert result.tolist() == expected


def test_values_go_to_the_device_and_come_back() -> None:
    tensor = here()
    tensor[0, 1] = 7
    tensor[1].mul_(10)  # a view
    assert tensor.cpu().numpy().tolist() == [[0, 7, 2], [30, 40, 50]]
    assert tensor.to(there()).device == CPU
    assert (float(tensor[0, 1]), bool((tensor > 45).any()), f"{tensor.sum():.1f}") == (7.0, True, "129.0")
    assert torch.from_numpy(np.ones(2)).device == CPU


def test_gradients_cross_devices_where_copies_do() -> None:
    leaf = there().requires_grad_()
    (leaf.to(PRETENDED) * here()).sum().backward()
    assert leaf.grad is not None
    assert torch.equal(leaf.grad, there())


@pytest.mark.parametrize("optimizer", [torch.optim.SGD, torch.optim.AdamW])
def test_a_module_that_moves_keeps_its_parameters_and_learns_the_same(optimizer: Callable[..., object]) -> None:
    networks = []
    for place in (CPU, PRETENDED):
        torch.manual_seed(0)
        network = nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2), nn.Dropout(0.5), nn.Conv2d(2, 1, 1))
        parameters = list(network.parameters())
        network.to(place)
        assert all(one is other for one, other in zip(network.parameters(), parameters, strict=True))
        steps = optimizer(parameters, lr=0.1)
        for _ in range(2):
            network(torch.ones(2, 1, 4, 5).cumsum(dim=-1).to(place)).square().sum().backward()
            steps.step()  # type: ignore[attr-defined]
        assert {value.device for value in network.state_dict().values()} == {place}
        networks.append(network.to(CPU))
    for one, other in zip(*(network.state_dict().values() for network in networks), strict=True):
        assert torch.equal(one, other)


LOSSES: dict[str, Callable[[], object]] = {
    "a new shape in place": lambda: here().t_(),
    "a result that grows": lambda: torch.add(here(), here(), out=torch.empty(0, device=PRETENDED)),
    "replaced data": lambda: setattr(here(), "data", here()),
    "a sparse tensor": lambda: here().to_sparse(),
    "autocast": lambda: torch.autocast(PRETENDED.type, dtype=torch.bfloat16),
}


@pytest.mark.parametrize("name", LOSSES)
def test_what_the_device_cannot_represent_is_an_error_and_no_wrong_value(name: str) -> None:
    with pytest.raises(NotImplementedError):
        LOSSES[name]()


def test_operations_on_the_device_are_counted_and_others_not(device: PretendedDevice) -> None:
    there() + 1
    assert device.operations == 0
    torch.zeros(2, device=PRETENDED)
    assert device.operations == 1


def test_torch_is_afterwards_as_it_was() -> None:
    autocast, swaps = torch.autocast, torch.__future__.get_swap_module_params_on_conversion()
    with pretended_device():
        pass
    assert (torch.autocast, torch.__future__.get_swap_module_params_on_conversion()) == (autocast, swaps)
