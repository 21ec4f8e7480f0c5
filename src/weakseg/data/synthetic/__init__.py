"""Critters: a generated data set whose animals are told apart by their heads alone (see docs/critters.md).

Every image shows a textured context, some unlabelled clutter and up to three animals. The head identifies an animal's
class; the coat of its body and the context around it only go together with the class more often than not. That is the
trouble of weak supervision in miniature: a classifier needs the head only, a mask needs the body as well, and the
context gives the class away without belonging to it.

Drawing needs NumPy alone and starts without torch.
"""

from weakseg.data.synthetic.scenes import CritterScene, generate_scene
from weakseg.data.synthetic.settings import CritterSettings
from weakseg.data.synthetic.species import CRITTER_CLASSES
from weakseg.data.synthetic.writer import write_critters

__all__ = ["CRITTER_CLASSES", "CritterScene", "CritterSettings", "generate_scene", "write_critters"]
