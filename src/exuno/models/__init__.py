"""Models: a network with all it takes to feed it, from any library, file, run or hub.

- ``names``, ``load``: model specs and what they load; ``classifier``: pixels in, logits out; ``card``: model.json.
- ``registry``, ``zoo``: exuno's own networks; ``foreign``: timm's, torchvision's, the hub's; ``build``: from a card.
- ``files``: weights from files and to files; ``formats``: foreign files told apart and read; ``head``: other classes.
"""
