"""What runs jobs on samples: one interface (`engine`), one registry (`choice`), a file for each kind."""
