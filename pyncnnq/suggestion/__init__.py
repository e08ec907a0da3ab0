"""How a network wants its images, found out from what it answers when nobody says."""
