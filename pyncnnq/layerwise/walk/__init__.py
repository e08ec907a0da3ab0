"""Going through a network layer by layer, on samples that workers hold: the main process's side is layer_walk.py, the
worker's side conversation.py; each other module is a request, with what a worker does to answer it."""
