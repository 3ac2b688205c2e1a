"""The public data sets of pix2pix and CycleGAN: what there is (:mod:`.catalogue`), and getting it (:mod:`.get`)."""
