"""One module a version of the database; its revision is the version's number."""
