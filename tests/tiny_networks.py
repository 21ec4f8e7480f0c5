"""Tiny configurations of networks of `transformers`, as their `config.json` says them."""

import json
from pathlib import Path

from weakseg.files import JsonValue

_STAGES = ["stage1", "stage2", "stage3", "stage4"]
_VIT: dict[str, JsonValue] = {
    "hidden_size": 16,
    "num_hidden_layers": 4,
    "num_attention_heads": 2,
    "intermediate_size": 16,
    "image_size": 64,
    "patch_size": 16,
}
_UPERNET: dict[str, JsonValue] = {"model_type": "upernet", "hidden_size": 16, "auxiliary_channels": 8}

SEGFORMER: dict[str, JsonValue] = {
    "model_type": "segformer",
    "depths": [1, 1, 1, 1],
    "hidden_sizes": [8, 16, 24, 32],
    "num_attention_heads": [1, 2, 3, 4],
    "decoder_hidden_size": 16,
    "drop_path_rate": 0.1,
}

FAMILIES: dict[str, dict[str, JsonValue]] = {
    "segformer": SEGFORMER,
    "upernet on convnext": {
        **_UPERNET,
        "auxiliary_in_channels": 16,
        "backbone_config": {
            "model_type": "convnext",
            "hidden_sizes": [8, 12, 16, 24],
            "depths": [1, 1, 1, 1],
            "out_features": _STAGES,
        },
    },
    "upernet on swin": {
        **_UPERNET,
        "auxiliary_in_channels": 64,
        "backbone_config": {
            "model_type": "swin",
            "embed_dim": 16,
            "depths": [1, 1, 1, 1],
            "num_heads": [1, 2, 2, 4],
            "window_size": 4,
            "out_features": _STAGES,
        },
    },
    "upernet on resnet": {
        **_UPERNET,
        "auxiliary_in_channels": 16,
        "backbone_config": {
            "model_type": "resnet",
            "embedding_size": 8,
            "hidden_sizes": [8, 12, 16, 24],
            "depths": [1, 1, 1, 1],
            "layer_type": "basic",
            "out_features": _STAGES,
        },
    },
    "mobilevit": {
        "model_type": "mobilevit",
        "hidden_sizes": [12, 16, 20],
        "neck_hidden_sizes": [8, 8, 16, 16, 24, 24, 40],
        "num_attention_heads": 2,
        "aspp_out_channels": 16,
        "atrous_rates": [2, 3, 4],
    },
    "mobilevitv2": {
        "model_type": "mobilevitv2",
        "width_multiplier": 0.25,
        "aspp_out_channels": 16,
        "n_attn_blocks": [1, 1, 1],
        "base_attn_unit_dims": [16, 24, 32],
    },
    "mobilenet_v2": {"model_type": "mobilenet_v2", "depth_multiplier": 0.25},
    "beit": {
        **_VIT,
        "model_type": "beit",
        "out_indices": [0, 1, 2, 3],
        "use_relative_position_bias": True,
        "auxiliary_channels": 8,
    },
    "dpt": {
        **_VIT,
        "model_type": "dpt",
        "backbone_out_indices": [0, 1, 2, 3],
        "neck_hidden_sizes": [8, 8, 16, 16],
        "fusion_hidden_size": 8,
        "reassemble_factors": [4, 2, 1, 0.5],
    },
}
"""Networks that label images of any size."""

DATA2VEC: dict[str, JsonValue] = {
    **_VIT,
    "model_type": "data2vec-vision",
    "out_indices": [0, 1, 2, 3],
    "use_relative_position_bias": True,
    "auxiliary_channels": 8,
}
"""Takes images of 64 x 64 pixels alone."""


_PYRAMID: dict[str, JsonValue] = {"hidden_sizes": [8, 12, 16, 24], "depths": [1, 1, 2, 1]}
_PLAIN: dict[str, JsonValue] = {"hidden_size": 16, "num_hidden_layers": 4, "num_attention_heads": 2}

RESNET: dict[str, JsonValue] = {"model_type": "resnet", **_PYRAMID, "embedding_size": 8, "layer_type": "basic"}
DINOV2: dict[str, JsonValue] = {"model_type": "dinov2", **_PLAIN, "patch_size": 14, "image_size": 56, "mlp_ratio": 2}

BACKBONES: dict[str, dict[str, JsonValue]] = {
    "resnet": RESNET,
    "convnext": {"model_type": "convnext", **_PYRAMID},
    "dinov3_convnext": {"model_type": "dinov3_convnext", **_PYRAMID},
    "swin": {
        "model_type": "swin",
        "embed_dim": 8,
        "depths": [1, 1, 2, 1],
        "num_heads": [1, 2, 2, 4],
        "window_size": 4,
        "drop_path_rate": 0.0,
    },
    "dinov2": DINOV2,
    "dinov2_with_registers": {**DINOV2, "model_type": "dinov2_with_registers", "num_register_tokens": 4},
    "dinov3_vit": {
        "model_type": "dinov3_vit",
        **_PLAIN,
        "intermediate_size": 32,
        "patch_size": 16,
        "num_register_tokens": 4,
    },
}
"""Backbones that are cut in two."""

SWINV2: dict[str, JsonValue] = {
    "model_type": "swinv2",
    "embed_dim": 8,
    "depths": [1, 1, 1, 1],
    "num_heads": [1, 2, 2, 4],
    "window_size": 4,
    "drop_path_rate": 0.0,
}
"""A backbone that is not cut."""


def write_config(path: Path, values: dict[str, JsonValue]) -> Path:
    """Write a configuration alone."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(values))
    return path
