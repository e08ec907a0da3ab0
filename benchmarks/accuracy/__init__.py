"""How close int8 models come to the float models that they are made from."""
