import pytest
import torch

from weakseg.localize.frame import fit_frame
from weakseg.types import ScoreMaps


@pytest.mark.parametrize(("cell_px", "tolerance"), [(8, 0.06), (2, 0.02)])
def test_maps_lie_where_the_patches_of_the_image_are(cell_px: int, tolerance: float) -> None:
    """A patch's value is that of its centre; `ScoreMaps` rebuilds the image in whole strides of 16, and crops."""
    rows, columns = torch.arange(5.0) + 0.5, torch.arange(3.0) + 0.5
    ramps = torch.stack([rows[:, None].expand(5, 3) / 5, columns.expand(5, 3) / 3])
    height, width = 70, 41
    full = ScoreMaps((0, 1), (fit_frame(ramps, (height, width), cell_px=cell_px),), (height, width)).full()
    down = ((torch.arange(height) + 0.5) / height).clamp(0.1, 0.9)
    along = ((torch.arange(width) + 0.5) / width).clamp(1 / 6, 5 / 6)
    torch.testing.assert_close(full[0], (down / down.max())[:, None].expand(height, width), atol=tolerance, rtol=0)
    torch.testing.assert_close(full[1], (along / along.max()).expand(height, width), atol=tolerance, rtol=0)
