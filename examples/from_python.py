"""Train, translate and evaluate from Python.

The argument is the run directory to write:

    python examples/from_python.py runs/python
"""

import sys

from PIL import Image

import transfigure

recipe = transfigure.Recipe.load("examples/tiny.yaml", {"training.epochs": 2})  # any key of a recipe, as a flag would give it
run = transfigure.train(recipe, sys.argv[1], quiet=True)

translator = transfigure.Translator.load(run)
picture = translator(Image.new("RGB", (50, 40), "navy"))  # any size; an image, an array or a list of them
picture.save(run / "translated.png")

result = transfigure.evaluate(translator, metrics=["l1", "ssim"], quiet=True)  # on the pairs that training never saw
for row in result.rows:
    print(f"{row.label}: {row.value:.3f} (95 % interval {row.low:.3f} to {row.high:.3f})")
