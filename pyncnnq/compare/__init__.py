"""How close outputs of models are: the only definition of each measure."""
