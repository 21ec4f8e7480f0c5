"""A SAM of `transformers`, tiny and random; nothing is downloaded."""

from __future__ import annotations

import importlib
import json
from pathlib import Path

import torch

IMAGE_PX, PATCH_PX = 64, 8


def save_sam(folder: Path, *, seed: int = 0) -> Path:
    """Write network and image processor as `save_pretrained` does."""
    transformers = importlib.import_module("transformers")
    vision = {"hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 2, "output_channels": 8, "mlp_dim": 8}
    vision |= {"image_size": IMAGE_PX, "patch_size": PATCH_PX, "window_size": 2, "global_attn_indexes": [0]}
    vision |= {"num_pos_feats": 4}
    prompts = {"hidden_size": 8, "image_size": IMAGE_PX, "patch_size": PATCH_PX, "mask_input_channels": 4}
    decoder = {
        "hidden_size": 8,
        "mlp_dim": 8,
        "num_hidden_layers": 1,
        "num_attention_heads": 2,
        "iou_head_hidden_dim": 8,
    }
    config = transformers.SamConfig(
        vision_config=transformers.SamVisionConfig(**vision).to_dict(),
        prompt_encoder_config=transformers.SamPromptEncoderConfig(**prompts).to_dict(),
        mask_decoder_config=transformers.SamMaskDecoderConfig(**decoder).to_dict(),
    )
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        network = transformers.SamModel(config)
        with torch.no_grad():
            for parameter in network.parameters():
                parameter.normal_(std=0.3)
    network.save_pretrained(folder)
    processor = {
        "image_processor_type": "SamImageProcessor",
        "size": {"longest_edge": IMAGE_PX},
        "pad_size": {"height": IMAGE_PX, "width": IMAGE_PX},
        "mask_size": {"longest_edge": IMAGE_PX // 4},
        "mask_pad_size": {"height": IMAGE_PX // 4, "width": IMAGE_PX // 4},
        "do_resize": True,
        "do_rescale": True,
        "do_normalize": True,
        "do_pad": True,
        "image_mean": [0.5, 0.5, 0.5],
        "image_std": [0.2, 0.2, 0.2],
    }
    (folder / "preprocessor_config.json").write_text(json.dumps(processor))
    return folder
