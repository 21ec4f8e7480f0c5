# %% [markdown]
# # From tags to masks
#
# Every image comes with a list of what it shows, and with nothing else. This notebook makes masks of that, and a
# network that needs no tags. It takes about a minute on two CPU cores.
#
# The images are drawn here: invented animals, *critters*. With your own photographs only the first line changes:
# `weakseg.Photos.open("photos")`; [data](data.md) says how tags are written.

# %%
import weakseg

photos = weakseg.Photos.open("critters", recipe="demo_quick")
print(len(photos), "images of", ", ".join(photos.classes))

# %% [markdown]
# An image and its tags. This is all that training gets to see.

# %%
first = next(id for id in photos.ids if len(photos.tags[id]) == 2)
print(first, photos.tags[first])

# %%
from PIL import Image

Image.fromarray(photos.image(first)).resize((288, 288))

# %% [markdown]
# Train: a classifier on the tags, seeds (where it sees each tag), masks, and a segmentation network on the masks. The
# folder is a run; whoever starts this line again finds it finished.

# %%
run = photos.train("runs/tutorial")

# %% [markdown]
# The image, a heat map for each of its tags, and the mask they became.

# %%
picture = run.show(first)
picture.resize((picture.width * 2, picture.height * 2))

# %% [markdown]
# A seed is an array with a map per tag, a mask one with a label per pixel: 0 is background, c + 1 the c-th class.

# %%
seed, mask = run.seeds[first], run.masks[first]
print([run.classes[key] for key in seed.keys], tuple(seed.full().shape))
print(mask.shape, mask.dtype, sorted({"background" if label == 0 else run.classes[label - 1] for label in mask.flat}))

# %% [markdown]
# How good are they? Critters have true masks, which nothing but these numbers has seen. Each says what it was
# measured on.

# %%
for score in run.metrics.scores:
    tags = "tags given" if score.given_tags else "no tags"
    print(f"{score.subject:9} {score.split:5} {score.images} images, {tags}: {100 * score.mean_iou:.1f} % mean IoU")

# %% [markdown]
# The network labels any image, without tags. Here is one of the validation images, which it has not seen.

# %%
from weakseg.ops.color import overlay

new = next(id for id in run.predictions if len(photos.tags[id]) == 2)
image = photos.image(new)
found = run.predict(image)
Image.fromarray(overlay(image, found.labels)).resize((288, 288))

# %% [markdown]
# Next: [your own photographs](photographs.md), the [report](report.md) in `runs/tutorial/report.html`, masks
# corrected [in the browser](review.md), and [the rest of this interface](api.md).
