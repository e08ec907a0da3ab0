"""How close the outputs of models are: the only definition of each figure."""
