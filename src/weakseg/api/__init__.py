"""The way in from Python: tagged photographs, what a run has made of them, and a network for new ones.

`import weakseg` has these three names as well and imports nothing until one of them is looked at.
"""

from weakseg.api.by_id import ById
from weakseg.api.model import Model
from weakseg.api.photos import Photos
from weakseg.api.run import Run

__all__ = ["ById", "Model", "Photos", "Run"]
