"""The API: every door for scripts and for the pages' own requests, one file per resource."""
