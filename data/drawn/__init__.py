"""The renderer of drawn people. This folder is taste, not logic.

Its many numbers were set by eye, and by what trains a network that also works on real images: change one and look at
the images. From the bottom up:

    wardrobe    who is drawn: clothes, body, hair and bags of an identity
    heads       neck, face and hair
    figure      one walking person, seen from somewhere
    scenes      the surroundings, and what a camera makes of them
    people      reproducible streams of all of these: cameras, identities, distractors, images

The same seed draws the same images, bit for bit.
"""

from data.drawn.people import draw_people

__all__ = ["draw_people"]
