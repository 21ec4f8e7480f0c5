"""A SAM 3 of `transformers`, tiny and random; nothing is downloaded."""

from __future__ import annotations

import importlib
import json
from pathlib import Path

import torch

from tests.tiny_clip import LETTERS, save_tokenizer

SIDE_PX, PATCH_PX = 56, 14
MEAN, STD = [0.4, 0.5, 0.6], [0.2, 0.3, 0.4]


def save_sam3(folder: Path, *, seed: int = 0) -> Path:
    """Write a network that knows letters alone, its tokenizer, and its image processor's settings."""
    transformers = importlib.import_module("transformers")
    width = {"hidden_size": 32, "num_attention_heads": 2}
    layers = {**width, "num_layers": 1, "intermediate_size": 16}
    backbone = {**width, "intermediate_size": 16, "num_hidden_layers": 1, "image_size": SIDE_PX, "patch_size": PATCH_PX}
    backbone |= {
        "window_size": 2,
        "global_attn_indexes": [0],
        "pretrain_image_size": 28,
        "model_type": "sam3_vit_model",
    }
    config = transformers.Sam3Config(
        vision_config={
            "backbone_config": backbone,
            "fpn_hidden_size": 32,
            "backbone_feature_sizes": [[16, 16], [8, 8], [4, 4]],
        },
        text_config={
            **{"model_type": "clip_text_model", "vocab_size": LETTERS, "hidden_size": 8, "intermediate_size": 8},
            **{"num_hidden_layers": 1, "num_attention_heads": 2, "max_position_embeddings": 32, "projection_dim": 4},
            **{"bos_token_id": LETTERS - 2, "eos_token_id": LETTERS - 1},
        },
        geometry_encoder_config=dict(layers),
        detr_encoder_config=dict(layers),
        detr_decoder_config={**layers, "num_queries": 3},
        mask_decoder_config={**width, "num_upsampling_stages": 3},
    )
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        network = transformers.Sam3Model(config)
        with torch.no_grad():
            for parameter in network.parameters():
                parameter.normal_(std=0.3)
    network.save_pretrained(folder)
    save_tokenizer(folder)
    processor = {"image_processor_type": "Sam3ImageProcessor", "image_mean": MEAN, "image_std": STD}
    (folder / "preprocessor_config.json").write_text(json.dumps(processor))
    return folder
