import torch
from torch import nn

from tests.tiny import make_classifier, make_segmenter
from weakseg.models.layout import lay_out


def is_channels_last(weight: torch.Tensor) -> bool:
    return weight.is_contiguous(memory_format=torch.channels_last) and not weight.is_contiguous()


def test_a_convolutional_network_is_laid_out_and_gives_the_same() -> None:
    for network in (make_classifier().eval(), make_segmenter().eval()):
        images = torch.randn(2, 3, 24, 33, generator=torch.Generator().manual_seed(0))
        before = {name: value.clone() for name, value in network.state_dict().items()}
        with torch.no_grad():
            expected = network(images)
            assert lay_out(network) is network
            torch.testing.assert_close(network(images), expected, rtol=1e-4, atol=1e-5)
        kernels = [module.weight for module in network.modules() if isinstance(module, nn.Conv2d)]
        assert any(is_channels_last(kernel) for kernel in kernels)
        assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())


def test_a_network_of_products_stays_as_it_is() -> None:
    network = nn.Sequential(nn.Conv2d(3, 8, 4, 4), nn.Linear(8, 100))
    assert not is_channels_last(lay_out(network)[0].weight)
