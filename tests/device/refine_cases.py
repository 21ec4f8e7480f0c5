"""Cases of refinement: walks, instances, and the confidence in cuts."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch

from tests.device.cases import CaseTable, normal, uniform
from tests.device.made_networks import IMAGE, KEYS, open_classifier
from tests.refine.threshold.cutting import make_cuts, square
from weakseg.ops.crf_settings import PSA_CRF
from weakseg.refine.crf import require_maps_of_image
from weakseg.refine.instances import cut_maps, find_instances
from weakseg.refine.irn import irn_mask, walked_maps
from weakseg.refine.psa import AffinityWalk, psa_mask, psa_scores, walked_scores
from weakseg.refine.threshold.masking import score_confidence

REFINING = CaseTable()

GRID_HW = (8, 11)
"""Of the image at stride 4."""


@REFINING.about(walked_maps, irn_mask)
def walk_of_irn(device: torch.device) -> object:
    maps, edge = uniform(2, *GRID_HW).to(device), uniform(*GRID_HW).to(device)
    walked = walked_maps(maps, edge, image_size_hw=(29, 42), doublings=3, seed_power=1.3)
    none = walked_maps(maps[:0], edge, image_size_hw=(29, 42))
    return [walked, none, irn_mask(maps, KEYS, edge, image_size_hw=(29, 42), background=0.4, doublings=3)]


@REFINING.about(walked_maps)
def walk_of_irn_from_a_seed_on_the_cpu(device: torch.device) -> object:
    return walked_maps(uniform(2, *GRID_HW), uniform(*GRID_HW).to(device), image_size_hw=(29, 42), doublings=3)


@REFINING.about(find_instances, cut_maps)
def instances_of_irn(device: torch.device) -> object:
    maps, edge, field = uniform(2, *GRID_HW), 0.2 * uniform(*GRID_HW), 0.5 * normal(2, *GRID_HW)
    parts = torch.stack((edge > 0.1, edge <= 0.1))
    found = find_instances(
        maps.to(device), KEYS, edge.to(device), field.to(device), size_hw=(29, 42), doublings=3, keep_fragments=True
    )
    assert len(found.keys) > 1
    return [cut_maps(maps.to(device), parts.to(device)), found]


@REFINING.about(walked_scores, psa_scores, psa_mask, require_maps_of_image)
def walk_of_psa(device: torch.device) -> object:
    maps, features = uniform(2, 41, 74).to(device), normal(5, 6, 10).to(device)
    image = np.random.default_rng(1).integers(0, 256, (41, 74, 3), dtype=np.uint8)
    walk, weak = AffinityWalk(doublings=3), AffinityWalk(doublings=3, alpha=2.0)
    return [
        walked_scores(maps, KEYS, features, walk=walk),
        psa_scores(maps, KEYS, features, walk=walk),
        psa_mask(maps, KEYS, features, image=image, walk=weak, settings=replace(PSA_CRF, iterations=2)),
    ]


@REFINING.about(score_confidence)
def confidence_in_cuts(device: torch.device) -> object:
    cuts = make_cuts(IMAGE, [square((29, 42), margin) for margin in (2, 5, 9)])
    return score_confidence(open_classifier(device).eval(), cuts)
